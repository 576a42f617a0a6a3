;; A table of ten million elements.
(module
  (memory (export "memory") 1)
  (table 10000000 funcref)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32)
    i32.const 1024))
