;; A plugin that replies in place of the provider, as a cache or a guardrail does. If a request has the header `x-cached`, it
;; replies with the headers and the body of an earlier answer. If it has the header `x-guard`, it replaces the provider's answer
;; when its headers come.
(module
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response" (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  ;; The second page has a byte for each request: 1 if it has `x-guard`. Identifiers of contexts are consecutive.
  (memory (export "memory") 2)
  (data (i32.const 16) "x-cached")
  (data (i32.const 32) "x-guard")
  ;; Two headers in the serialised form of the ABI.
  (data (i32.const 64) "\02\00\00\00\0c\00\00\00\10\00\00\00\1d\00\00\00\06\00\00\00content-type\00application/json\00x-envoy-upstream-service-time\00900000\00")
  ;; Spaces after the JSON make it 256 bytes long.
  (data (i32.const 256) "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"cached\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":5000,\"total_tokens\":6000}}                    ")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  ;; The plugin reads nothing that the host writes, so all writes may go to the same address.
  (func (export "malloc") (param $size i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  ;; Returning 1 stops the filter chain. The status 0 means that the header exists.
  (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
    (i32.store8 offset=65536 (i32.and (local.get $context) (i32.const 65535))
      (i32.eqz (call $header (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 0) (i32.const 4))))
    (if (result i32) (i32.eqz (call $header (i32.const 0) (i32.const 16) (i32.const 8) (i32.const 0) (i32.const 4)))
      (then
        (drop (call $reply (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 256) (i32.const 256) (i32.const 64) (i32.const 87) (i32.const -1)))
        (i32.const 1))
      (else (i32.const 0))))
  (func (export "proxy_on_response_headers") (param $context i32) (param i32 i32) (result i32)
    (if (result i32) (i32.load8_u offset=65536 (i32.and (local.get $context) (i32.const 65535)))
      (then
        (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 256) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)))
        (i32.const 1))
      (else (i32.const 0))))
  (func (export "proxy_on_log") (param i32))
  (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
  (func (export "proxy_on_delete") (param i32)))
