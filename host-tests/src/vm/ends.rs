//! The two ends of a request that the test plays: its client and its upstream.

use super::Vm;
use crate::headers::HeaderMap;
use crate::http::{Direction, End, HttpStream, Outcome};

/// What Envoy answers when the upstream went away without an answer.
const UPSTREAM_LOST: (u32, &str) = (
    503,
    "upstream connect error or disconnect/reset before headers. reset reason: connection termination",
);

// Envoy's `response.flags`.
const NO_HEALTHY_UPSTREAM: u64 = 0x2;
const UPSTREAM_CONNECTION_TERMINATION: u64 = 0x40;

impl Vm {
    /// The client sends a part of the body; false when the request is over.
    pub(crate) fn client_sends(&mut self, context: u32, part: &[u8], end: bool) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(!stream.request.ended, "the client has sent its whole request already");
        let part = part.to_vec();
        self.during(context, |vm| vm.body(context, Direction::Request, part, end));
        true
    }

    /// The client ends its request with trailers; false when it is over.
    pub(crate) fn client_sends_trailers(&mut self, context: u32, trailers: HeaderMap) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(!stream.request.ended, "the client has sent its whole request already");
        self.during(context, |vm| vm.trailers(context, Direction::Request, trailers));
        true
    }

    /// The client goes away.
    pub(crate) fn client_leaves(&mut self, context: u32) -> bool {
        if self.state().http(context).is_none() {
            return false;
        }
        self.during(context, |vm| vm.end(context, End::ClientLeft));
        true
    }

    /// The upstream answers with headers; false when the request is over.
    pub(crate) fn upstream_answers(&mut self, context: u32, headers: HeaderMap, end: bool) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(stream.request.started(), "the upstream has not seen the request");
        assert!(stream.response.headers.is_none(), "the upstream has answered already");
        self.during(context, |vm| vm.headers(context, Direction::Response, headers, end));
        true
    }

    /// The upstream sends a part of the body; false when the request is over.
    pub(crate) fn upstream_sends(&mut self, context: u32, part: &[u8], end: bool) -> bool {
        if !self.upstream_may_send(context) {
            return false;
        }
        let part = part.to_vec();
        self.during(context, |vm| vm.body(context, Direction::Response, part, end));
        true
    }

    /// The upstream ends its response with trailers; false when the request is
    /// over.
    pub(crate) fn upstream_sends_trailers(&mut self, context: u32, trailers: HeaderMap) -> bool {
        if !self.upstream_may_send(context) {
            return false;
        }
        self.during(context, |vm| vm.trailers(context, Direction::Response, trailers));
        true
    }

    fn upstream_may_send(&mut self, context: u32) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(stream.response.headers.is_some(), "the upstream has not answered yet");
        // The proxy's own answer, or the filter's, has no upstream behind it.
        let of_upstream = stream.local_response.is_none() && stream.proxy_response.is_none();
        assert!(
            !(of_upstream && stream.response.ended),
            "the upstream has sent its whole response already"
        );
        of_upstream
    }

    /// The upstream's connection breaks.
    pub(crate) fn upstream_leaves(&mut self, context: u32) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(stream.request.started(), "the upstream has not seen the request");
        let (status, body) = UPSTREAM_LOST;
        stream.flags = UPSTREAM_CONNECTION_TERMINATION;
        self.during(context, |vm| vm.respond_itself(context, status, body));
        true
    }

    /// There is no upstream to connect to: the request is not sent anywhere.
    pub(crate) fn upstream_is_missing(&mut self, context: u32) -> bool {
        let Some(stream) = self.state().http(context) else { return false };
        assert!(stream.request.started(), "the request has not come to the router");
        (stream.flags, stream.unconnected) = (NO_HEALTHY_UPSTREAM, true);
        self.during(context, |vm| vm.respond_itself(context, 503, "no healthy upstream"));
        true
    }

    /// Brings a request to its end, if it is not there, and says what became of
    /// it: an upstream that has the request answers 200, one that is answering
    /// ends, and a request that the filter holds is given up by its client.
    pub(crate) fn finish(&mut self, context: u32) -> Option<Outcome> {
        if let Some(stream) = self.state().http(context) {
            let (asked, answered) = (stream.request.started(), stream.response.headers.is_some());
            if asked && !answered {
                let ok: HeaderMap = [(":status", "200")].into_iter().collect();
                self.upstream_answers(context, ok, true);
            } else if answered && !stream.response.ended {
                self.upstream_sends(context, b"", true);
            }
            self.client_leaves(context);
        }
        self.state().ended.remove(&context).map(HttpStream::into_outcome)
    }
}
