;; Two components in one: the inner caller hands the inner callee a string of sixteen megabytes in another encoding, again
;; and again. The engine's own code translates it, and no instruction of either counts it.
(component
  (import "callbox:flow/sipcall@0.1.0" (instance $sipcall (export "call" (type (sub resource)))))
  (alias export $sipcall "call" (type $call))
  (component $callee
    (core module $code
      (memory (export "memory") 600)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536)
      (func (export "take") (param i32 i32)))
    (core instance $i (instantiate $code))
    (func (export "take") (param "text" string)
      (canon lift (core func $i "take") (memory $i "memory") (realloc (func $i "realloc")) string-encoding=utf16)))
  (instance $callee (instantiate $callee))
  (component $caller
    (import "call" (type $call (sub resource)))
    (import "take" (func $take (param "text" string)))
    (core module $memory
      (memory (export "memory") 300)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
    (core instance $m (instantiate $memory))
    (core func $lowered (canon lower (func $take) (memory $m "memory") (realloc (func $m "realloc"))))
    (core module $code
      (import "host" "take" (func $take (param i32 i32)))
      (func (export "on-call") (param i32) (result i32)
        (loop $for_ever
          (call $take (i32.const 0) (i32.const 16777216))
          (br $for_ever))
        unreachable))
    (core instance $i (instantiate $code (with "host" (instance (export "take" (func $lowered))))))
    (export $exported "call" (type $call))
    (func (export "on-call") (param "incoming" (own $exported)) (result (result (error string)))
      (canon lift (core func $i "on-call") (memory $m "memory"))))
  (instance $handler (instantiate $caller (with "call" (type $call)) (with "take" (func $callee "take"))))
  (export "callbox:flow/handler@0.1.0" (instance $handler)))
