//! A request's way through the guest: phases, holds, answers, and its end.
//!
//! After Envoy's HTTP filter manager and the wasm filter in it, as they behave in
//! version 1.40.

use super::events::Trapped;
use super::{Context, Trap, Vm};
use crate::abi::ROOT_CONTEXT;
use crate::headers::HeaderMap;
use crate::http::{
    Backlog, CONTINUE, Direction, End, Hold, HttpStream, LocalResponse, Message, Phase,
};
use crate::profile::Profile;

/// Any answer but [`CONTINUE`].
const STOP: u32 = u32::MAX;

/// What Envoy answers when a guest holds more of a request, or of a response,
/// than the buffer limit.
const PAYLOAD_TOO_LARGE: u32 = 413;
const INTERNAL_SERVER_ERROR: u32 = 500;

impl Vm {
    /// Opens a stream and shows its request headers to the guest. Returns its
    /// context.
    pub(crate) fn begin(&mut self, headers: HeaderMap, end: bool) -> u32 {
        let context = self.state().new_stream();
        self.during(context, |vm| {
            vm.call(context, "proxy_on_context_create", &[context, ROOT_CONTEXT])?;
            vm.headers(context, Direction::Request, headers, end)
        });
        context
    }

    /// Runs a phase of a stream; a trap in it is the stream's own.
    pub(crate) fn during(
        &mut self,
        context: u32,
        work: impl FnOnce(&mut Self) -> Result<(), Trap>,
    ) {
        if let Err(Trapped(trap)) = self.guarded(work)
            && let Some(stream) = self.state().ended.get_mut(&context)
            && stream.end == Some(End::FailedClosed)
        {
            stream.end = Some(End::Trapped(trap));
        }
    }

    pub(crate) fn headers(
        &mut self,
        context: u32,
        direction: Direction,
        headers: HeaderMap,
        end: bool,
    ) -> Result<(), Trap> {
        let arguments = [context, count(headers.len()), u32::from(end)];
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        stream.half_mut(direction).take_headers(headers, end);
        self.ask(context, Phase::Headers(direction), &arguments)
    }

    pub(crate) fn body(
        &mut self,
        context: u32,
        direction: Direction,
        part: Vec<u8>,
        end: bool,
    ) -> Result<(), Trap> {
        let limit = self.peek().settings.buffer_limit;
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        let half = stream.half_mut(direction);
        let shown = half.take_part(part, end);
        // The guest still sees what was too much, whatever it says then.
        let too_much = half.buffered() > limit;
        let Some(shown) = shown else { return Ok(()) };
        let arguments = [context, count(shown), u32::from(end)];
        self.ask(context, Phase::Body(direction), &arguments)?;
        let held = self.state().http(context).map_or(0, |it| it.half(direction).buffered());
        if too_much || held > limit { self.overflow(context, direction) } else { Ok(()) }
    }

    pub(crate) fn trailers(
        &mut self,
        context: u32,
        direction: Direction,
        trailers: HeaderMap,
    ) -> Result<(), Trap> {
        let arguments = [context, count(trailers.len())];
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        if !stream.half_mut(direction).take_trailers(trailers) {
            return Ok(());
        }
        self.ask(context, Phase::Trailers(direction), &arguments)
    }

    /// Asks the guest about a phase and does as it says.
    fn ask(&mut self, context: u32, phase: Phase, arguments: &[u32]) -> Result<(), Trap> {
        let export = match phase {
            Phase::Headers(direction) => direction.on_headers(),
            Phase::Body(direction) => direction.on_body(),
            Phase::Trailers(direction) => direction.on_trailers(),
        };
        // A guest that does not have the export lets everything pass.
        let answer = self.call_alone(context, export, arguments)?.unwrap_or(CONTINUE);
        // Whoever answers a request in a call stops the phase of that call, even
        // when the answer was for another request.
        let answer = if std::mem::take(&mut self.state().stops) { STOP } else { answer };
        let nginx = self.peek().settings.profile == Profile::Nginx;
        if let Some(stream) = self.state().http(context) {
            match phase {
                Phase::Headers(direction) => stream.half_mut(direction).after_headers(answer),
                Phase::Body(direction) => stream.half_mut(direction).after_part(answer),
                Phase::Trailers(direction) => stream.half_mut(direction).after_trailers(answer),
            }
            if nginx {
                keep_removed(stream);
            }
        }
        self.after_call()?;
        self.end_if_complete(context)
    }

    /// The guest continues a stream that it held.
    pub(crate) fn resume(
        &mut self,
        context: u32,
        direction: Direction,
        inside: bool,
    ) -> Result<(), Trap> {
        let name = self.name();
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        let half = stream.half_mut(direction);
        if inside && half.hold == Hold::Flowing {
            let violation = format!("{name} continued request {context} and let it pass as well");
            self.peek().process.lock().violations.push(violation);
            return Ok(());
        }
        let Backlog { body, trailers } = half.resume();
        if self.peek().settings.profile == Profile::Nginx
            && let Some(stream) = self.state().http(context)
        {
            keep_removed(stream);
        }
        if let Some(part) = body {
            let ended = self.state().http(context).is_some_and(|it| it.half(direction).ended);
            self.body(context, direction, part, ended && trailers.is_none())?;
        }
        if let Some(trailers) = trailers {
            self.trailers(context, direction, trailers)?;
        }
        self.end_if_complete(context)
    }

    /// The guest's answer goes out: as the response, if none has begun; in place
    /// of one that the guest still holds; or else as a reset.
    pub(crate) fn respond(&mut self, context: u32) -> Result<(), Trap> {
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        let Some(local) = stream.local_response.clone() else { return Ok(()) };
        self.answer(context, &local)
    }

    /// The proxy itself answers.
    pub(crate) fn respond_itself(
        &mut self,
        context: u32,
        status: u32,
        body: &str,
    ) -> Result<(), Trap> {
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        stream.proxy_response = Some(status);
        let local = LocalResponse {
            status,
            details: String::new(),
            headers: HeaderMap::default(),
            body: body.as_bytes().to_vec(),
            grpc_status: None,
        };
        self.answer(context, &local)
    }

    fn answer(&mut self, context: u32, local: &LocalResponse) -> Result<(), Trap> {
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        stream.request.abandon();
        if stream.response.started() {
            return self.reset(context);
        }
        let bodiless = local.body.is_empty();
        if stream.response.headers.is_some() {
            // Past the filters: they have seen the headers of another response.
            let body = local.body.clone();
            let (headers, complete) = (local.wire_headers(), true);
            stream.response.replace(Message { headers, body, complete, trailers: None });
            return self.end(context, End::Responded);
        }
        self.headers(context, Direction::Response, local.wire_headers(), bodiless)?;
        if bodiless {
            return Ok(());
        }
        self.body(context, Direction::Response, local.body.clone(), true)
    }

    fn overflow(&mut self, context: u32, direction: Direction) -> Result<(), Trap> {
        match direction {
            Direction::Request => {
                self.respond_itself(context, PAYLOAD_TOO_LARGE, "Payload Too Large")
            }
            Direction::Response => {
                self.respond_itself(context, INTERNAL_SERVER_ERROR, "Internal Server Error")
            }
        }
    }

    pub(crate) fn reset(&mut self, context: u32) -> Result<(), Trap> {
        self.end(context, End::Reset)
    }

    fn end_if_complete(&mut self, context: u32) -> Result<(), Trap> {
        let complete = self.state().http(context).is_some_and(|it| it.response.complete());
        if complete { self.end(context, End::Responded) } else { Ok(()) }
    }

    /// A stream is over: the guest writes its access log, and its context goes.
    pub(crate) fn end(&mut self, context: u32, end: End) -> Result<(), Trap> {
        let Some(stream) = self.state().http(context) else { return Ok(()) };
        if stream.end.is_some() {
            return Ok(());
        }
        stream.end = Some(end);
        stream.logging = true;
        self.call(context, "proxy_on_log", &[context])?;
        if let Some(stream) = self.state().http(context) {
            stream.logging = false;
        }
        // The answer of `proxy_on_done` counts for root contexts only.
        self.call(context, "proxy_on_done", &[context])?;
        self.call(context, "proxy_on_delete", &[context])?;
        self.forget(context);
        Ok(())
    }

    /// The VM has failed: none of its requests gets through it any more.
    pub(crate) fn fail_streams(&mut self) {
        let contexts: Vec<_> = self.peek().contexts.keys().copied().collect();
        for context in contexts {
            if let Some(stream) = self.state().http(context) {
                stream.end.get_or_insert(End::FailedClosed);
                self.forget(context);
            }
        }
        self.state().after_call.clear();
    }

    fn forget(&mut self, context: u32) {
        let state = self.state();
        if let Some(Context::Http(stream)) = state.contexts.remove(&context) {
            state.ended.insert(context, *stream);
        }
    }
}

/// Puts request headers back that the guest removed and the proxy sends on.
fn keep_removed(stream: &mut HttpStream) {
    if let Some(passed) = &mut stream.request.passed {
        for (name, value) in stream.removed.drain(..) {
            passed.headers.add(&name, value);
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a message of less than 4 GiB")
}
