use anyhow::Result;
use kya_core::Signer;

use crate::operator::Operator;

/// An agent and the token that it presents.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// `agt_…`
    pub(crate) id: String,
    /// `at_…`
    pub(crate) token: String,
    /// `ed25519:…`
    pub(crate) public_key: String,
}

impl Agent {
    /// Registers one with a key of its own, and issues a token to it.
    pub(crate) async fn register(admin: &Operator<'_>, with: &[&str]) -> Result<Self> {
        let key = fresh_key()?;
        let command = [&["agent", "register", "--pubkey", &key], with].concat();
        let id = admin.gets(&command, "agent_id").await?;
        Self::with_token(admin, id, key).await
    }

    /// The agent of this id, with a token that is issued now.
    pub(crate) async fn with_token(
        admin: &Operator<'_>,
        id: String,
        public_key: String,
    ) -> Result<Self> {
        let token = admin.gets(&["token", "issue", "--agent", &id], "token").await?;
        Ok(Self { id, token, public_key })
    }
}

/// A public key that nobody had before.
pub(crate) fn fresh_key() -> Result<String> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    Ok(Signer::from_seed(seed).public_key().to_string())
}
