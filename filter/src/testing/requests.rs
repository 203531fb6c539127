//! The HTTP requests of one VM, as the proxy sees them.

use std::collections::BTreeMap;

use crate::host::{ContextId, Refused};
use crate::request::Flow;

/// `BadArgument`: what Envoy says about a context that is not there.
const BAD_ARGUMENT: Refused = Refused(2);

/// A name and a value.
pub(crate) type Header = (Vec<u8>, Vec<u8>);

/// A request, until it ends.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Exchange {
    pub(crate) headers: Vec<Header>,
    /// What the filter answered in the upstream's place.
    pub(crate) response: Option<(u32, BTreeMap<String, String>, String)>,
    pub(crate) standing: Standing,
    /// What the proxy shows of the response.
    pub(crate) fields: Vec<Header>,
    pub(crate) trailers: Vec<Header>,
    /// The part of the request's body that is before the filter.
    pub(crate) part: Vec<u8>,
    /// What the proxy shows of it, by the segments of the path with dots between them.
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    /// What the filter has set.
    pub(crate) set: BTreeMap<String, Vec<u8>>,
}

/// How far a request has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its headers are being decided on.
    #[default]
    Arriving,
    /// It was paused at its headers.
    Waiting,
    /// It went on at once; the upstream has not answered.
    Forwarded,
    /// It went on after it had waited; the upstream has not answered.
    Resumed,
    /// The upstream's response is on its way to the client.
    Responding,
    /// The filter answered it.
    Answered,
    /// The filter reset it.
    Reset,
}

/// The live requests, and the one that the proxy is calling about.
#[derive(Default)]
pub(super) struct Requests {
    live: BTreeMap<ContextId, Exchange>,
    current: Option<ContextId>,
    last: u32,
}

impl Requests {
    pub(super) fn arrive(&mut self, headers: Vec<Header>) -> ContextId {
        self.last += 1;
        let context = ContextId(self.last);
        self.live.insert(context, Exchange { headers, ..Exchange::default() });
        self.current = Some(context);
        context
    }

    /// The filter has decided on the headers.
    pub(super) fn decided(&mut self, flow: Flow) {
        let Ok(exchange) = self.current() else { return };
        exchange.standing = match (exchange.standing, flow) {
            (Standing::Arriving, Flow::Continue) => Standing::Forwarded,
            (Standing::Arriving, Flow::Stop | Flow::Pause) => Standing::Waiting,
            (Standing::Answered | Standing::Reset, Flow::Continue) => {
                panic!("a request goes on that was answered or reset")
            }
            (standing, _) => standing,
        };
        self.current = None;
    }

    pub(super) fn get(&mut self, context: ContextId) -> Result<&mut Exchange, Refused> {
        self.live.get_mut(&context).ok_or(BAD_ARGUMENT)
    }

    pub(super) fn current(&mut self) -> Result<&mut Exchange, Refused> {
        self.get(self.current.ok_or(BAD_ARGUMENT)?)
    }

    /// A request other than the one that the proxy is calling about.
    pub(super) fn other(&mut self, context: ContextId) -> Result<&mut Exchange, Refused> {
        if self.current.is_some() { Err(BAD_ARGUMENT) } else { self.get(context) }
    }

    /// The proxy calls about a request.
    pub(super) fn call_about(&mut self, context: ContextId) {
        self.current = Some(context);
    }

    /// The filter acts for a request that the proxy is not calling about.
    pub(super) fn enter(&mut self, context: ContextId) -> Result<(), Refused> {
        self.other(context)?;
        self.current = Some(context);
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.current = None;
    }

    pub(super) fn response_started(&mut self, context: ContextId) {
        let exchange = self.live.get_mut(&context).expect("the request is over");
        match exchange.standing {
            Standing::Forwarded | Standing::Resumed => exchange.standing = Standing::Responding,
            // The filter's own response passes it, too.
            Standing::Answered => {}
            other => panic!("a request has a response that is {other:?}"),
        }
    }

    /// Those that the filter has answered or reset.
    pub(super) fn finished(&self) -> Vec<(ContextId, Exchange)> {
        let finished =
            |exchange: &Exchange| matches!(exchange.standing, Standing::Answered | Standing::Reset);
        let all = self.live.iter().filter(|(_, exchange)| finished(exchange));
        all.map(|(context, exchange)| (*context, exchange.clone())).collect()
    }

    pub(super) fn end(&mut self, context: ContextId) -> Exchange {
        self.live.remove(&context).expect("a request ended twice")
    }
}

impl Exchange {
    /// The filter answers. Envoy has crashed on a second answer.
    pub(super) fn respond(&mut self, status: u32, headers: &[(&str, &str)], body: &[u8]) {
        self.fields = vec![(b":status".to_vec(), status.to_string().into_bytes())];
        self.finish(match self.standing {
            // Envoy resets a stream whose response is under way.
            Standing::Responding => Standing::Reset,
            _ => Standing::Answered,
        });
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let body = String::from_utf8(body.to_vec()).expect("a body is text");
        self.response = Some((status, headers, body));
    }

    pub(super) fn reset(&mut self) {
        self.finish(Standing::Reset);
    }

    pub(super) fn resume(&mut self) {
        assert_eq!(self.standing, Standing::Waiting, "a request went on that did not wait");
        self.standing = Standing::Resumed;
    }

    fn finish(&mut self, standing: Standing) {
        let finished = matches!(self.standing, Standing::Answered | Standing::Reset);
        assert!(!finished, "a request was answered or reset twice");
        self.standing = standing;
    }
}
