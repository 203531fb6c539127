//! How a request ended.

use crate::headers::HeaderMap;

/// A response that the filter gave instead of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalResponse {
    /// HTTP status.
    pub status: u32,
    /// Details for Envoy's access log.
    pub details: String,
    /// The headers that the filter asked for; Envoy adds some.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// gRPC status, if the filter gave one.
    pub grpc_status: Option<i32>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It went to the upstream.
    Forwarded {
        /// With these headers.
        headers: HeaderMap,
    },
    /// The filter answered it.
    LocalResponse(LocalResponse),
    /// The filter held it back and never let it go.
    Paused,
    /// The filter reset it.
    Reset,
    /// The filter trapped on it. Envoy answers 503.
    Trap(String),
    /// The VM had failed before. Envoy answers 503.
    FailClosed,
}

impl Outcome {
    /// The headers that the upstream saw, if it saw the request.
    pub fn forwarded(&self) -> Option<&HeaderMap> {
        match self {
            Self::Forwarded { headers } => Some(headers),
            _ => None,
        }
    }

    /// What the filter answered, if it did.
    pub fn local_response(&self) -> Option<&LocalResponse> {
        match self {
            Self::LocalResponse(response) => Some(response),
            _ => None,
        }
    }
}
