//! The headers of a request: what the gate reads in them, and what it changes
//! before the upstream sees them.

use kya_core::action::{RuleIndex, overrides_method, overrides_path};
use kya_core::headers::{AGENT_ID, SUBPROTOCOLS, is_own};
use kya_core::{Credential, Source, subprotocols_without_credential};

use crate::audit::event::Decision;
use crate::audit::{Short, Trace};
use crate::config::Actions;
use crate::host::{HeaderMap, Host, Refused};

/// All headers of the current request, read in one call to the proxy. Reading
/// one by its name would show the first of several.
#[derive(Debug)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Reads them.
    pub fn read(host: &impl Host) -> Result<Self, Refused> {
        host.request_headers().map(Self)
    }

    fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter()
    }

    /// What the request presents at these places.
    pub fn credential(&self, sources: &[Source]) -> Credential<'_> {
        Credential::read(sources, self.iter())
    }

    /// The target of the request, with its query, if it can only be this one:
    /// there is one `:path`, and no header that names another.
    pub fn target(&self) -> Option<&[u8]> {
        let mut target = None;
        for (name, value) in self.iter() {
            if name == b":path" && target.replace(value).is_some() || overrides_path(name) {
                return None;
            }
        }
        target
    }

    /// What the request stands for, if it can only be this: it has one method and
    /// one target, and no header that replaces either.
    pub fn action(&self, actions: &Actions) -> Option<RuleIndex> {
        if actions.is_empty() {
            return None;
        }
        let mut method = None;
        for (name, value) in self.iter() {
            if name == b":method" && method.replace(value).is_some() || overrides_method(name) {
                return None;
            }
        }
        actions.find(method?, self.target()?)
    }

    /// Notes what the trail is to say of the request as it came. What is there twice is
    /// not said: nobody can tell which of the two the upstream reads.
    pub fn note(&self, decision: &mut Decision) {
        let (mut methods, mut ids, mut traces) = (0u32, 0u32, 0u32);
        for (name, value) in self.iter() {
            match name {
                b":method" => {
                    methods = methods.saturating_add(1);
                    decision.method = Short::method(value);
                }
                b"x-request-id" => {
                    ids = ids.saturating_add(1);
                    decision.request_id = Short::request_id(value);
                }
                b"traceparent" => {
                    traces = traces.saturating_add(1);
                    decision.trace = Trace::parse(value);
                }
                _ => {}
            }
        }
        if methods > 1 {
            decision.method = Short::NONE;
        }
        if ids > 1 {
            decision.request_id = Short::NONE;
        }
        if traces > 1 {
            decision.trace = None;
        }
    }

    /// Makes of the current request what the upstream is to see: without the
    /// headers that only the gate may set, without a credential among its
    /// subprotocols, and with the name of the agent, if there is one.
    pub fn forward(
        &self,
        host: &impl Host,
        sources: &[Source],
        agent_id: Option<&str>,
    ) -> Result<(), Refused> {
        let mut removed: Vec<&[u8]> = Vec::new();
        for (name, _) in self.iter().filter(|(name, _)| is_own(name)) {
            if !removed.contains(&name) {
                // What cannot be named cannot be removed.
                let text = std::str::from_utf8(name).map_err(|_| Refused(0))?;
                host.remove_request_header(text)?;
                removed.push(name);
            }
        }
        if let Some(rest) = subprotocols_without_credential(sources, self.iter()) {
            host.remove_request_header(SUBPROTOCOLS)?;
            if !rest.is_empty() {
                host.add_request_header(SUBPROTOCOLS, &rest)?;
            }
        }
        match agent_id {
            Some(agent_id) => host.add_request_header(AGENT_ID, agent_id),
            None => Ok(()),
        }
    }
}

/// Takes away the name of an agent that a client has sent, where the headers
/// cannot be read.
pub fn remove_agent(host: &impl Host) -> Result<(), Refused> {
    host.remove_request_header(AGENT_ID)
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
