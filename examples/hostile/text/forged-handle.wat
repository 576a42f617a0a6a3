;; Hangs up legs that it was not given, by their numbers: another call's, another tenant's, whosever.
(module
  (import "callbox:flow/sipcall@0.1.0" "[method]call.hangup" (func $hangup (param i32 i32 i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param $leg i32) (result i32)
    (local $n i32)
    (loop $next
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (if (i32.ne (local.get $n) (local.get $leg))
        (then (call $hangup (local.get $n) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))))
      (br $next))
    unreachable))
