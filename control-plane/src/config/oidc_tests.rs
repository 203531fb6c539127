use super::super::{ConfigError, Values, from_toml, resolve};
use super::*;

fn with(more: &[(&'static str, &str)]) -> Result<Option<OidcConfig>, String> {
    let mut values: Values = [("data_dir", "d"), ("oidc_issuer", "https://id.example/kya")]
        .into_iter()
        .chain([("oidc_audience", "kya"), ("oidc_roles", "sre=operator,CN=a=admin")])
        .map(|(name, text)| (name, text.to_owned()))
        .collect();
    for (name, text) in more {
        match *text {
            "unset" => values.remove(name),
            text => values.insert(name, text.to_owned()),
        };
    }
    let told = |errors: Vec<ConfigError>| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    resolve(&values, &Values::new(), None).map(|found| found.config.oidc).map_err(told)
}

#[test]
fn an_issuer_an_audience_and_roles_are_enough() {
    let config = with(&[]).unwrap().unwrap();
    assert_eq!(config.roles["sre"], Role::Operator);
    assert_eq!(config.roles["CN=a"], Role::Admin);
    assert_eq!((&*config.groups_claim, &*config.name_claim), ("groups", "sub"));
    assert_eq!(config.leeway, Duration::from_secs(30));
    assert_eq!(config.algorithms, [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]);
}

#[test]
fn a_table_of_the_file_maps_groups_with_any_name() {
    let text = "[oidc_roles]\n\"CN=kya,OU=eng\" = \"viewer\"\nsre = \"admin\"";
    let file = from_toml("kya.toml", text).unwrap();
    let roles = with(&[("oidc_roles", &file["oidc_roles"])]).unwrap().unwrap().roles;
    assert_eq!(roles["CN=kya,OU=eng"], Role::Viewer);
    assert_eq!(roles["sre"], Role::Admin);
}

#[test]
fn what_could_let_in_somebody_else_is_refused_with_the_reason() {
    for (name, text, complaint) in [
        ("oidc_issuer", "http://id.example", "would be asked in the clear"),
        ("oidc_issuer", "ftp://id.example", "is not an https:// address"),
        ("oidc_issuer", "id.example", "is not an address such as"),
        ("oidc_issuer", "https://u:p@id.example", "has a user or password in it"),
        ("oidc_issuer", "https://id.example/#a", "has a fragment"),
        ("oidc_issuer", "https://id.example/?a=b", "has a query"),
        ("oidc_issuer", "http://127.0.0.1.example", "would be asked in the clear"),
        ("oidc_jwks_url", "http://10.0.0.1/keys", "would be asked in the clear"),
        ("oidc_audience", "unset", "oidc_audience: is not set"),
        ("oidc_audience", "", "must not be empty"),
        ("oidc_roles", "unset", "oidc_roles: is not set"),
        ("oidc_roles", "sre", "`sre` is not GROUP=ROLE"),
        ("oidc_roles", "sre=root", "`root` is not a role"),
        ("oidc_roles", "a=viewer,a=admin", "the group `a` is there twice"),
        ("oidc_roles", "{}", "maps no group"),
        ("oidc_roles", "{\"a\": 1}", "is not a JSON object of groups and roles"),
        ("oidc_algorithms", "none", "`none` is not an algorithm that may count"),
        ("oidc_algorithms", "HS256", "`HS256` is not an algorithm that may count"),
        ("oidc_algorithms", "RS256,RS256", "`RS256` is there twice"),
        ("oidc_leeway", "6m", "longer than the 5 minutes"),
        ("oidc_groups_claim", "a\nb", "must not have control characters"),
        ("oidc_issuer", "unset", "counts only with an issuer"),
    ] {
        let told = with(&[(name, text)]).unwrap_err();
        assert!(told.contains(complaint), "{name} = {text}: {told}");
    }
    for loopback in ["http://127.0.0.1:8080/a", "http://localhost:1", "http://[::1]:1"] {
        assert!(with(&[("oidc_issuer", loopback)]).unwrap().is_some(), "{loopback}");
    }
}
