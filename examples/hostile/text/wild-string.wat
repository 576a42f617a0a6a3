;; Logs a string that begins in its memory and ends far behind it.
(module
  (import "callbox:flow/session@0.1.0" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32)
    (call $log (i32.const 2) (i32.const 65500) (i32.const 100000))
    i32.const 1024))
