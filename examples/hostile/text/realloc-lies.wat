;; Offers the host room for a string where there is none.
(module
  (import "callbox:flow/sipcall@0.1.0" "[method]call.ani" (func $ani (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    i32.const -8)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param $leg i32) (result i32)
    (call $ani (local.get $leg) (i32.const 64))
    i32.const 1024))
