;; A plugin that traps when a request has the header `x-crash`. If the request also has the header `x-stay`, every plugin that
;; Envoy starts afterwards rejects its configuration. It finds a key in the shared data, which outlives the plugin.
(module
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data" (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data" (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-crash")
  (data (i32.const 32) "x-stay")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  ;; The plugin reads nothing that the host writes, so all writes may go to the same address.
  (func (export "malloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  ;; Returning 1 accepts the configuration. The status 0 means that the key exists.
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (i32.ne (i32.const 0) (call $get_shared (i32.const 32) (i32.const 6) (i32.const 0) (i32.const 4) (i32.const 8))))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (if (i32.eqz (call $header (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 0) (i32.const 4)))
      (then
        (if (i32.eqz (call $header (i32.const 0) (i32.const 32) (i32.const 6) (i32.const 0) (i32.const 4)))
          (then
            (drop (call $set_shared (i32.const 32) (i32.const 6) (i32.const 32) (i32.const 6) (i32.const 0)))))
        unreachable))
    (i32.const 0))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))
