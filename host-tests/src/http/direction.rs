//! The two directions of a stream, which have the same phases under other names.

use crate::abi::StreamType;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the upstream.
    Request,
    /// Back.
    Response,
}

impl Direction {
    pub(crate) fn on_headers(self) -> &'static str {
        match self {
            Self::Request => "proxy_on_request_headers",
            Self::Response => "proxy_on_response_headers",
        }
    }

    pub(crate) fn on_body(self) -> &'static str {
        match self {
            Self::Request => "proxy_on_request_body",
            Self::Response => "proxy_on_response_body",
        }
    }

    pub(crate) fn on_trailers(self) -> &'static str {
        match self {
            Self::Request => "proxy_on_request_trailers",
            Self::Response => "proxy_on_response_trailers",
        }
    }

    /// The direction that a guest names by this number; a TCP connection has none.
    pub(crate) fn of(stream: StreamType) -> Option<Self> {
        match stream {
            StreamType::HttpRequest => Some(Self::Request),
            StreamType::HttpResponse => Some(Self::Response),
            StreamType::Downstream | StreamType::Upstream => None,
        }
    }
}
