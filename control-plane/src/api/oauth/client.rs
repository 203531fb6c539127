//! Agents that show who they are by an assertion (RFC 7523 section 2.2), and operators
//! that do by their key.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use kya_core::jwt::{AssertionError, ClientAssertion, UnverifiedAssertion, parse_assertion};
use kya_core::{AgentId, Status};

use super::form::Form;
use super::{OAuthError, TOKEN};
use crate::api::Api;
use crate::operators::{Operator, Permission};
use crate::store::{Cause, ShownStatus, StoreError, UsedAssertion};

/// RFC 7523 section 8.1.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Whoever asks at an endpoint that is for both.
pub(super) enum Asking {
    /// Somebody of whose tokens it may be about any.
    Operator(Operator),
    /// An agent, about its own tokens.
    Agent(AgentId),
}

/// The agent that asks, whose assertion is to be used up with what it asks for.
pub(super) async fn agent(
    api: &Api,
    issuer: &str,
    endpoint: &str,
    form: &Form,
    peer: IpAddr,
) -> Result<UsedAssertion, OAuthError> {
    match form.one("client_assertion_type")? {
        Some(ASSERTION_TYPE) => {}
        Some(_) => {
            let expected = format!("`client_assertion_type` must be `{ASSERTION_TYPE}`");
            return Err(OAuthError::invalid_client(expected));
        }
        None if form.one("client_secret")?.is_some() => {
            return Err(OAuthError::invalid_client(
                "agents have no secrets: authenticate by `private_key_jwt`",
            ));
        }
        None => {
            return Err(OAuthError::invalid_client(
                "no client authentication: `client_assertion_type` and `client_assertion` are missing",
            ));
        }
    }
    let refused = |error: AssertionError| match api.operators.stranger_refused(peer) {
        Some(retry_after) => OAuthError::too_many(retry_after),
        None => OAuthError::invalid_client(format!("the assertion is not taken: {error}")),
    };
    // What is no assertion at all, or nobody's, takes no turn.
    let presented = form.needed("client_assertion")?;
    let parsed = parse_assertion(presented.as_bytes()).map_err(refused)?;
    let turn = api.operators.turn_of_stranger(peer).await?;
    let shown = show(api, issuer, endpoint, parsed).await?;
    drop(turn);
    let (ClientAssertion { agent, id, expires }, status) = shown.map_err(refused)?;
    if form.one("client_id")?.is_some_and(|client| client != agent.to_string()) {
        return Err(OAuthError::invalid_client("`client_id` is not whom the assertion is of"));
    }
    // Nothing is written for whoever may do nothing, or asks too often.
    if status != ShownStatus::Decided(Status::Active) {
        api.operators.stranger_refused(peer);
        let told = format!("{agent} is {}", status.name());
        return Err(OAuthError::unauthorized_client(told));
    }
    api.operators.agent_asks(agent).map_err(OAuthError::too_often)?;
    Ok(UsedAssertion { agent_id: agent, id, expires })
}

async fn show(
    api: &Api,
    issuer: &str,
    endpoint: &str,
    parsed: UnverifiedAssertion<'_>,
) -> Result<Result<(ClientAssertion, ShownStatus), AssertionError>, OAuthError> {
    // Whether there is such an agent, and with a key, is told to nobody who is not it.
    let now = api.clock.now();
    let known = match api.store.agent(parsed.agent()).await {
        Ok(agent) => agent.public_key.map(|key| (key, agent.shown_status(now))),
        Err(StoreError::NoSuchAgent(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let Some((key, status)) = known else { return Ok(Err(AssertionError::Signature)) };
    let (token, here) = (format!("{issuer}{TOKEN}"), format!("{issuer}{endpoint}"));
    let audience = [issuer, token.as_str(), here.as_str()];
    Ok(parsed.verify(key, &audience, now.seconds()).map(|assertion| (assertion, status)))
}

/// Whoever asks: an operator who presents a key that may do this, or an agent whose
/// assertion is used up.
pub(super) async fn asking(
    api: &Api,
    (issuer, endpoint): (&str, &str),
    headers: &HeaderMap,
    form: &Form,
    peer: IpAddr,
    permission: Permission,
) -> Result<Asking, OAuthError> {
    if headers.contains_key(header::AUTHORIZATION) {
        let operator = api.operators.authenticate(headers, peer).await?;
        api.operators.permit(&operator, permission, peer)?;
        return Ok(Asking::Operator(operator));
    }
    let assertion = agent(api, issuer, endpoint, form, peer).await?;
    let agent = assertion.agent_id;
    // As whatever stops nobody, it waits so that a stop waits behind few.
    let _turn = api.operators.turn().await?;
    let used = api.store.use_assertion(assertion).await;
    used.inspect_err(|error| {
        if error.is_of_a_replay() {
            api.operators.stranger_refused(peer);
        }
    })?;
    Ok(Asking::Agent(agent))
}

impl Asking {
    /// Whether a token of this agent is any business of theirs.
    pub(super) fn may_know_of(&self, holder: AgentId) -> bool {
        match self {
            Self::Operator(_) => true,
            Self::Agent(agent) => *agent == holder,
        }
    }
}

/// The cause of what an agent does.
pub(super) fn because_of(agent: AgentId) -> Cause {
    Cause { actor: agent.to_string(), ..Cause::default() }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use axum::body::Body;
    use axum::extract::{FromRequest, Request};
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use url::form_urlencoded::Serializer;

    use super::*;
    use crate::api::testing;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn what_is_no_assertion_takes_no_turn() {
        let temp = tempfile::tempdir().unwrap();
        let api = testing::api(temp.path(), "https://kya.example").await;
        // Nobody else is looked at for as long as these are.
        let _one = api.operators.turn_of_stranger(PEER).await.unwrap();
        let _two = api.operators.turn_of_stranger(PEER).await.unwrap();
        let header = "eyJhbGciOiJFZERTQSJ9"; // {"alg":"EdDSA"}
        let unsigned = format!("{header}.e30.{}", "A".repeat(86));
        for presented in ["nonsense", "a.b.c", &format!("{header}.e30.AAAA"), &unsigned] {
            let body = Serializer::new(String::new())
                .append_pair("client_assertion_type", ASSERTION_TYPE)
                .append_pair("client_assertion", presented)
                .finish();
            let request = Request::post("/oauth/token")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Body::from(body));
            let form = Form::from_request(request.unwrap(), &()).await.unwrap();
            let shown = agent(&api, "https://kya.example", TOKEN, &form, PEER).await;
            let status = shown.unwrap_err().into_response().status();
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{presented}");
        }
        api.draining.cancel();
    }
}
