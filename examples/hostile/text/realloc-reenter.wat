;; Calls the host again where the host asks for room for a string, so that each string lies a level deeper on the host's
;; stack.
(module
  (import "callbox:flow/sipcall@0.1.0" "[method]call.ani" (func $ani (param i32 i32)))
  (memory (export "memory") 1)
  (global $leg (mut i32) (i32.const 0))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (call $ani (global.get $leg) (i32.const 64))
    i32.const 2048)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param $l i32) (result i32)
    (global.set $leg (local.get $l))
    (call $ani (local.get $l) (i32.const 64))
    i32.const 1024))
