;; Spins where the host asks for room for a string: within a call of the host's.
(module
  (import "callbox:flow/sipcall@0.1.0" "[method]call.ani" (func $ani (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (loop $for_ever (br $for_ever)) unreachable)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param $leg i32) (result i32)
    (call $ani (local.get $leg) (i32.const 64))
    i32.const 1024))
