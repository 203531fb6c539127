//! Calls that stop principals, capabilities, everyone and many agents.

use kya_core::AgentId;
use serde::de::DeserializeOwned;

use super::tokens::collection;
use super::{Answer, Client, Query};
use crate::api::{Capabilities, NewPrincipal, Principal, Principals, Stop};
use crate::error::Error;
use crate::token_id::AnyTokenId;

/// What is stopped, or put back: the path to it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Agent(AgentId),
    Agents,
    Token(AnyTokenId),
    Principal(&'a str),
    Policy(&'a str),
    Capabilities(AgentId),
    Fleet,
}

impl Client {
    /// `action` is the last segment of the path, such as `revoke`. `T` is what it
    /// answers to `stop`, which is another thing for a dry run.
    pub(crate) async fn stop<T: DeserializeOwned>(
        &self,
        place: Place<'_>,
        action: &str,
        stop: &Stop<'_>,
    ) -> Result<Answer<T>, Error> {
        let id = match place {
            Place::Agent(id) | Place::Capabilities(id) => id.to_string(),
            Place::Token(id) => id.to_string(),
            Place::Principal(key) | Place::Policy(key) => key.to_owned(),
            Place::Agents | Place::Fleet => String::new(),
        };
        match place {
            Place::Agent(_) => self.post(&["agents", &id, action], stop).await,
            Place::Agents => self.post(&["agents", action], stop).await,
            Place::Token(token) => {
                self.post(&[collection(token.is_capability()), &id, action], stop).await
            }
            Place::Principal(_) => self.post(&["principals", &id, action], stop).await,
            Place::Policy(_) => self.post(&["policies", &id, action], stop).await,
            Place::Capabilities(_) => {
                self.post(&["agents", &id, "capabilities", action], stop).await
            }
            Place::Fleet => self.post(&["fleet", action], stop).await,
        }
    }

    pub(crate) async fn add_principal(&self, name: &str) -> Result<Answer<Principal>, Error> {
        self.post(&["principals"], &NewPrincipal { name }).await
    }

    pub(crate) async fn principals(&self, query: &Query<'_>) -> Result<Answer<Principals>, Error> {
        self.get(&["principals"], query).await
    }

    pub(crate) async fn principal(&self, key: &str) -> Result<Answer<Principal>, Error> {
        self.get(&["principals", key], &[]).await
    }

    pub(crate) async fn capabilities(&self, id: AgentId) -> Result<Answer<Capabilities>, Error> {
        self.get(&["agents", &id.to_string(), "capabilities"], &[]).await
    }
}
