;; Ten memories: what the limit on each of them does not see.
(module
  (memory (export "memory") 1) (memory 1) (memory 1) (memory 1) (memory 1)
  (memory 1) (memory 1) (memory 1) (memory 1) (memory 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32)
    i32.const 1024))
