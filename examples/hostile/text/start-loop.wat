;; Spins before it is called: in the start function of its instance.
(module
  (memory (export "memory") 1)
  (func $spin (loop $for_ever (br $for_ever)))
  (start $spin)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32)
    i32.const 1024))
