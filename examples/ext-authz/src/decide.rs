//! The three ways to decide.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use redis::aio::MultiplexedConnection;
use regorus::{Engine, Value};

/// The policy: whatever is not revoked is allowed.
const POLICY: &str = r#"
package kya

default allow := false

allow if {
    startswith(input.token, "at_")
    not data.revoked[input.token]
}
"#;

/// By what a token is decided.
pub(crate) enum Decider {
    /// Nothing but a set in memory.
    Constant(HashSet<String>),
    /// Keys in Redis.
    Redis(MultiplexedConnection),
    /// The policy.
    Rego(Box<Mutex<Engine>>),
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Constant(_) => "Constant",
            Self::Redis(_) => "Redis",
            Self::Rego(_) => "Rego",
        })
    }
}

impl Decider {
    /// One that denies these, and has nothing to ask.
    pub(crate) fn constant(revoked: Vec<String>) -> Self {
        Self::Constant(revoked.into_iter().collect())
    }

    /// One that asks the Redis at `url`, over one connection for all requests.
    pub(crate) async fn redis(url: &str) -> Result<Self> {
        let client = redis::Client::open(url).with_context(|| url.to_owned())?;
        let connection = client.get_multiplexed_async_connection().await?;
        Ok(Self::Redis(connection))
    }

    /// One that evaluates the policy with these tokens in its data.
    pub(crate) fn rego(revoked: &[String]) -> Result<Self> {
        let mut engine = Engine::new();
        engine.add_policy("kya.rego".to_owned(), POLICY.to_owned())?;
        let mut data = Value::new_object();
        let mut list = Value::new_object();
        for token in revoked {
            list.as_object_mut()?.insert(token.as_str().into(), Value::from(true));
        }
        data.as_object_mut()?.insert("revoked".into(), list);
        engine.add_data(data)?;
        Ok(Self::Rego(Box::new(Mutex::new(engine))))
    }

    /// Whether this token may pass.
    pub(crate) async fn allows(&self, token: &str) -> Result<bool> {
        match self {
            Self::Constant(revoked) => Ok(!revoked.contains(token)),
            Self::Redis(connection) => {
                let mut asked = redis::cmd("EXISTS");
                asked.arg(format!("blacklist:{token}"));
                let listed: bool = asked.query_async(&mut connection.clone()).await?;
                Ok(!listed)
            }
            Self::Rego(engine) => {
                let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
                let mut input = Value::new_object();
                input.as_object_mut()?.insert("token".into(), token.into());
                engine.set_input(input);
                let allowed = engine.eval_rule("data.kya.allow".to_owned())?;
                Ok(allowed == Value::from(true))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_revoked_is_denied_and_all_else_is_not() {
        let revoked = vec!["at_revoked".to_owned()];
        for decider in [Decider::rego(&revoked).unwrap(), Decider::constant(revoked)] {
            for _ in 0..2 {
                assert!(decider.allows("at_good").await.unwrap(), "{decider:?}");
                assert!(!decider.allows("at_revoked").await.unwrap(), "{decider:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_policy_takes_nothing_that_is_no_token() {
        let rego = Decider::rego(&[]).unwrap();
        assert!(!rego.allows("something").await.unwrap());
    }
}
