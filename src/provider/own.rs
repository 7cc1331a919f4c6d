//! Attributes that OpenTelemetry defines for the API of one provider.

/// Name of the attribute for the kind of API: [`super::Api::kind`].
pub const API_TYPE: &str = "openai.api.type";
/// Name of the attribute for the service tier that the request asks for.
pub const REQUEST_TIER: &str = "openai.request.service_tier";
/// Name of the attribute for the service tier that served the request.
pub const RESPONSE_TIER: &str = "openai.response.service_tier";
/// Name of the attribute for the fingerprint of the provider's configuration.
pub const FINGERPRINT: &str = "openai.response.system_fingerprint";

/// Returns true if these attributes are defined for the provider with this name. Others serve the same API.
pub fn has_own_attributes(provider: &str) -> bool {
    provider == "openai"
}
