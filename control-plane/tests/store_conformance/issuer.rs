//! The issuer of capability tokens, its keys, and the tokens by their names.

use kya_control_plane::store::{
    CapabilityToken, Expected, Issuer, IssuerChange, IssuerError, NewCapabilityToken, PolicyChange,
    ServiceName, TokenSelection, UsedAssertion,
};
use kya_core::policy::PolicyReference;
use kya_core::{CapabilityId, PublicKey, Signer};
use wire::change::Change;

use super::*;

const ISSUER: &str = "https://kya.example";

fn key(n: u8) -> PublicKey {
    Signer::from_seed([n; 32]).public_key()
}

async fn change(store: &dyn Store, change: IssuerChange) -> Result<Outcome<Issuer>, StoreError> {
    store.change_issuer(change, cause("because")).await
}

/// An issuer with a key, and how long its tokens live at most.
async fn configure(store: &dyn Store, max_lifetime: u64) {
    let name = ISSUER.to_owned();
    change(store, IssuerChange::Configure { name, max_lifetime }).await.unwrap();
    change(store, IssuerChange::Publish(key(1))).await.unwrap();
}

fn service(name: &str) -> ServiceName {
    ServiceName::try_from(name.to_owned()).unwrap()
}

fn new(agent_id: AgentId, n: u8, services: &[&str], ttl_seconds: u64) -> NewCapabilityToken {
    let services: Vec<_> = services.iter().map(|name| service(name)).collect();
    let limits = TokenLimits::new((!services.is_empty()).then_some(services), None).unwrap();
    let id = CapabilityId::from_bytes([n; 16]);
    NewCapabilityToken { id, agent_id, limits, ttl_seconds, assertion: None }
}

async fn issue_one(
    store: &dyn Store,
    new: NewCapabilityToken,
) -> Result<CapabilityToken, StoreError> {
    store.issue_capability_token(new, Cause::default()).await.map(|(token, _)| token)
}

fn issuer_error(result: Result<impl std::fmt::Debug, StoreError>) -> IssuerError {
    match result.unwrap_err() {
        StoreError::Issuer(error) => error,
        other => panic!("{other}"),
    }
}

/// What proxies are told of the issuer.
fn told(changes: &[wire::Change]) -> Vec<&wire::Issuer> {
    changes
        .iter()
        .filter_map(|it| match &it.change {
            Some(Change::Issuer(issuer)) => Some(issuer),
            _ => None,
        })
        .collect()
}

pub async fn an_issuer_has_keys_that_are_published_then_sign_then_are_retired(
    fixture: impl Fixture,
) {
    use IssuerChange::{Activate, Publish, Retire};
    let store = fixture.open(Arc::new(TestClock::at(10))).await;
    for early in [Publish(key(1)), Activate(key(1)), Retire(key(1))] {
        let error = issuer_error(change(&*store, early).await);
        assert!(matches!(error, IssuerError::NotConfigured), "{error}");
    }
    assert!(told(&records(&*store, 0).await.1).is_empty(), "nobody has named it");
    configure(&*store, 600).await;
    let issuer = store.issuer().await.unwrap();
    assert_eq!((issuer.name.as_deref(), issuer.max_lifetime), (Some(ISSUER), 600));
    assert_eq!(issuer.active(), Some(key(1)), "the first key signs at once");
    let again = change(&*store, Publish(key(1))).await.unwrap();
    assert!(!again.changed);

    change(&*store, Publish(key(2))).await.unwrap();
    assert_eq!(store.issuer().await.unwrap().active(), Some(key(1)));
    let error = issuer_error(change(&*store, Retire(key(1))).await);
    assert!(matches!(error, IssuerError::Active(_)), "{error}");
    let error = issuer_error(change(&*store, Activate(key(3))).await);
    assert!(matches!(error, IssuerError::NoSuchKey(_)), "{error}");
    change(&*store, Activate(key(2))).await.unwrap();
    assert!(!change(&*store, Activate(key(2))).await.unwrap().changed);
    assert_eq!(store.issuer().await.unwrap().active(), Some(key(2)));
    change(&*store, Activate(key(1))).await.unwrap();
    assert_eq!(store.issuer().await.unwrap().active(), Some(key(1)), "and back");
    change(&*store, Activate(key(2))).await.unwrap();
    change(&*store, Retire(key(1))).await.unwrap();
    assert!(!change(&*store, Retire(key(1))).await.unwrap().changed);
    for late in [Publish(key(1)), Activate(key(1))] {
        let error = issuer_error(change(&*store, late).await);
        assert!(matches!(error, IssuerError::Retired(_)), "{error}");
    }
    for n in 3..=9 {
        change(&*store, Publish(key(n))).await.unwrap();
    }
    let error = issuer_error(change(&*store, Publish(key(10))).await);
    assert!(matches!(error, IssuerError::TooManyKeys), "{error}");

    let (_, all) = records(&*store, 0).await;
    let updates = store.updates_after(Revision(0), 1000).await.unwrap().into_iter();
    let pushed: Vec<_> = updates.flat_map(|update| update.delta.changes).collect();
    assert_eq!(told(&all), [*told(&pushed).last().unwrap()]);
    assert_eq!(told(&all)[0].keys.len(), 8);
    assert!(!told(&all)[0].keys.contains(&key(1).to_bytes().to_vec()));
    let events = store.events_after(0, 100).await.unwrap();
    let retired = events.iter().find(|event| event.action == "token_key.retired").unwrap();
    let keys = |of: &Option<serde_json::Value>| of.as_ref().unwrap()["keys"].clone();
    let id = |n| key(n).id().to_string();
    let [one, two] =
        [id(1), id(2)].map(|id| serde_json::json!({ "key_id": id, "state": "activated" }));
    assert_eq!(keys(&retired.before), serde_json::json!([two, one]));
    assert_eq!(keys(&retired.after), serde_json::json!([two]));
    let before = store.issuer().await.unwrap();
    store.close().await;
    fixture.closed().await;
    let store = fixture.open(Arc::new(TestClock::at(20))).await;
    assert_eq!(store.issuer().await.unwrap(), before);
}

pub async fn a_capability_token_is_noted_and_only_its_revocation_is_pushed(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(Arc::clone(&clock) as _).await;
    let agent = register(&*store).await;
    let none = issue_one(&*store, new(agent, 1, &["shop"], 60)).await;
    assert!(matches!(issuer_error(none), IssuerError::NotConfigured));
    configure(&*store, 600).await;
    let before = revision(&*store).await;
    let token = issue_one(&*store, new(agent, 1, &["shop", "mail"], 60)).await.unwrap();
    assert_eq!((token.issued, token.expires), (UnixSeconds(100), UnixSeconds(160)));
    assert_eq!(revision(&*store).await, before, "no proxy has to know of it");
    assert_eq!(store.capability_token(token.id).await.unwrap(), token);
    let no_service = issuer_error(issue_one(&*store, new(agent, 2, &[], 60)).await);
    assert!(matches!(no_service, IssuerError::NoService(_)), "{no_service}");
    let nobody = issue_one(&*store, new(agent_id(9), 2, &["shop"], 60)).await.unwrap_err();
    assert!(matches!(nobody, StoreError::NoSuchAgent(_)), "{nobody}");

    let revoke = || store.revoke_capability_token(token.id, cause("leaked"));
    let revoked = revoke().await.unwrap();
    assert!(revoked.changed && revoked.record.revoked_at.is_some());
    assert!(!revoke().await.unwrap().changed);
    let expected = Change::RevokedCapability(wire::RevokedCapability {
        id: token.id.to_bytes().to_vec(),
        expires_unix_seconds: 160,
    });
    let newest = store.updates_after(Revision(before), 10).await.unwrap();
    assert_eq!(newest[0].delta.changes[0].change.as_ref(), Some(&expected));
    let is_told = |all: &[wire::Change]| all.iter().any(|it| it.change.as_ref() == Some(&expected));
    assert!(is_told(&records(&*store, 159).await.1));
    assert!(!is_told(&records(&*store, 160).await.1), "it vanishes with the token");
    let unknown = store.capability_token(CapabilityId::from_bytes([9; 16])).await;
    assert!(matches!(issuer_error(unknown), IssuerError::NoSuchToken(_)));
    let events = store.events_after(0, 100).await.unwrap();
    let of_it = events.iter().filter(|event| event.subject == token.id.to_string());
    let of_it: Vec<_> = of_it.collect();
    let actions: Vec<_> = of_it.iter().map(|event| event.action.as_str()).collect();
    assert_eq!(actions, ["capability_token.issued", "capability_token.revoked"]);
    let revoked = |of: &Option<serde_json::Value>| of.as_ref().unwrap()["revoked_at"].is_string();
    assert!(of_it[0].before.is_none() && !revoked(&of_it[0].after));
    assert!(!revoked(&of_it[1].before) && revoked(&of_it[1].after));

    // Of a second that was superseded no token counts, so the next is of the next one.
    store.supersede_tokens(agent, cause("all")).await.unwrap();
    let later = issue_one(&*store, new(agent, 3, &["shop"], 60)).await.unwrap();
    assert_eq!(later.issued, UnixSeconds(101));
    let listed = store.capability_tokens(Some(agent), None, 10).await.unwrap();
    let superseded: Vec<_> = listed.iter().map(|token| token.superseded).collect();
    assert_eq!(superseded, [true, false]);
    // And that one is taken back in the same second, too.
    let again = store.supersede_tokens(agent, cause("all of them")).await.unwrap();
    assert!(again.changed);
    assert_eq!(again.record.tokens_not_before, UnixSeconds(101));
    let listed = store.capability_tokens(Some(agent), None, 10).await.unwrap();
    assert!(listed.iter().all(|token| token.superseded), "{listed:?}");
    assert!(!store.supersede_tokens(agent, cause("again")).await.unwrap().changed);
    let names: Vec<_> = (0..16).map(|n| format!("{}{n:02}", "s".repeat(250))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let unsayable = issuer_error(issue_one(&*store, new(agent, 5, &names, 60)).await);
    assert!(matches!(unsayable, IssuerError::Unsayable(_)), "{unsayable}");
    assert_eq!(store.capability_tokens(Some(agent), None, 10).await.unwrap().len(), 2);
    decide(&*store, agent, SUSPEND).await.unwrap();
    let refused = issue_one(&*store, new(agent, 4, &["shop"], 60)).await.unwrap_err();
    assert!(matches!(refused, StoreError::AgentNotActive { .. }), "{refused}");
    assert_eq!(store.capability_tokens(None, Some(token.id), 10).await.unwrap().len(), 1);
}

pub async fn an_assertion_is_used_once_and_forgotten_when_it_is_over(fixture: impl Fixture) {
    let clock = Arc::new(TestClock::at(100));
    let store = fixture.open(Arc::clone(&clock) as _).await;
    let (one, two) = (register_as(&*store, 1).await, register_as(&*store, 2).await);
    configure(&*store, 600).await;
    let assertion = |agent_id, id: &str, expires| UsedAssertion {
        agent_id,
        id: id.to_owned(),
        expires: UnixSeconds(expires),
    };
    let by = |agent, n, assertion| NewCapabilityToken {
        assertion: Some(assertion),
        ..new(agent, n, &["shop"], 60)
    };
    issue_one(&*store, by(one, 1, assertion(one, "a", 130))).await.unwrap();
    let replayed = issue_one(&*store, by(one, 2, assertion(one, "a", 130))).await;
    assert!(matches!(issuer_error(replayed), IssuerError::Replayed));
    let replayed = store.use_assertion(assertion(one, "a", 130)).await;
    assert!(matches!(issuer_error(replayed), IssuerError::Replayed));
    store.use_assertion(assertion(one, "A", 130)).await.unwrap();
    issue_one(&*store, by(two, 3, assertion(two, "a", 130))).await.unwrap();
    clock.set(130);
    // One that has waited until it was over is late, and a name is used once for longer
    // than any clock is behind.
    let late = store.use_assertion(assertion(one, "c", 130)).await;
    assert!(matches!(issuer_error(late), IssuerError::Late));
    let replayed = store.use_assertion(assertion(one, "a", 160)).await;
    assert!(matches!(issuer_error(replayed), IssuerError::Replayed));
    // Two at the same time: one of them is the replay.
    let twice = || store.use_assertion(assertion(two, "b", 160));
    let (left, right) = tokio::join!(twice(), twice());
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
    assert!(matches!(issuer_error(left.and(right)), IssuerError::Replayed));
}

pub async fn a_token_lives_no_longer_than_issuer_and_policies_say(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    configure(&*store, 600).await;
    let agent = register(&*store).await;
    let token = issue_one(&*store, new(agent, 1, &["shop"], 86_400)).await.unwrap();
    assert_eq!(token.expires, UnixSeconds(700));
    let document = "{\"name\": \"short\", \"allow\": [\"*\"], \"max_ttl\": \"30s\", \"services\": [\"pay\", \"mail\"]}";
    let document: kya_core::policy::PolicyDocument = serde_json::from_str(document).unwrap();
    let id = kya_core::PolicyId::from_bytes([5; 16]);
    let apply = PolicyChange::Apply(id, Box::new(document.check().unwrap()));
    let expected: Option<Expected> = None;
    store.change_policy(apply, expected, cause("short")).await.unwrap();
    store.assign_policy(agent, Some(PolicyReference::Id(id)), cause("short")).await.unwrap();
    let token = issue_one(&*store, new(agent, 2, &[], 300)).await.unwrap();
    assert_eq!(token.expires, UnixSeconds(130));
    assert_eq!(token.limits.services(), [service("mail"), service("pay")], "those of the policy");
    let opaque = issue(&*store, agent, 3, 300).await.unwrap().record;
    assert_eq!(opaque.expires, UnixSeconds(130));
    let below = NewAgent { parent: Some(agent), ..NewAgent::named(agent_id(2), "below") };
    let below = store.register_agent(below, Cause::default()).await.unwrap().record.id;
    let token = issue_one(&*store, new(below, 4, &["pay"], 300)).await.unwrap();
    assert_eq!(token.expires, UnixSeconds(130), "and those of whom it acts for");
}

pub async fn capability_tokens_are_selected_as_opaque_ones_are(fixture: impl Fixture) {
    let store = fixture.open(Arc::new(TestClock::at(100))).await;
    configure(&*store, 600).await;
    let labelled = NewAgent {
        labels: "env=staging".parse().unwrap(),
        ..NewAgent::named(agent_id(1), "staging")
    };
    let staging = store.register_agent(labelled, Cause::default()).await.unwrap().record.id;
    let other = register_as(&*store, 2).await;
    for (agent, n, name) in [(staging, 1, "shop"), (staging, 2, "mail"), (other, 3, "shop")] {
        issue_one(&*store, new(agent, n, &[name], 60)).await.unwrap();
    }
    let selection = TokenSelection {
        selector: Some("env=staging".parse().unwrap()),
        service: Some(service("shop")),
        ..TokenSelection::default()
    };
    let revoke = || store.revoke_capability_tokens(selection.clone(), None, cause("leaked"));
    let batch = revoke().await.unwrap();
    assert_eq!((batch.changed, batch.next), (1, None));
    assert_eq!(revoke().await.unwrap().changed, 0);
    let all = store.capability_tokens(None, None, 10).await.unwrap();
    let revoked: Vec<_> = all.iter().map(|token| token.revoked_at.is_some()).collect();
    assert_eq!(revoked, [true, false, false]);
}
