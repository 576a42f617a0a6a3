;; Exports a handler, a job, a main and more, so that a host that goes by names might run the wrong one.
(module
  (memory (export "memory") 1)
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096)
  (func (export "callbox:flow/handler@0.1.0#on-call") (param i32) (result i32)
    i32.const 1024)
  (func (export "callbox:flow/job@0.1.0#run") (param i32 i32 i32 i32) (result i32) unreachable)
  (func (export "run") unreachable)
  (func (export "_start") unreachable)
  (func (export "allocate") (param i32) (result i32) unreachable)
  (func (export "acme:test/vault#open") unreachable))
