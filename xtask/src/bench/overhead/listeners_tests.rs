use std::net::SocketAddr;
use std::process::Command;

use kya_envoy::{Artifacts, Bootstrap};

use super::super::native;
use super::super::variants::{TABLES, VARIANTS};
use super::*;
use crate::command::output;

const UPDATE_KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";
const TABLE_KEY: &str = "ed25519:table";

/// The bootstrap of the benchmark, with a filter that does nothing in the place of kya's.
fn yaml(dir: &Path) -> String {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 9));
    let shipped = Bootstrap {
        node_id: "overhead".into(),
        node_cluster: "payments".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        admin_port: 0,
        upstream: loopback,
        control_plane: loopback,
        control_plane_http: loopback,
        filter_wasm: wasm::nothing(dir).unwrap(),
        update_key: UPDATE_KEY.into(),
    };
    let shipped = shipped.render_file(&Artifacts::debug().bootstrap()).unwrap();
    let address = || loopback.to_string();
    let servers = [Server::Constant, Server::Redis, Server::Rego];
    let knowledge = Knowledge {
        issuer: "http://issuer".into(),
        jwks: native::jwks(),
        tokens: vec!["at_one".into(), "at_two".into()],
        servers: servers.map(|server| (server, address())).into(),
        tables: TABLES.map(|tokens| (tokens, address())).into(),
        table_key: TABLE_KEY.into(),
        update_key: UPDATE_KEY.into(),
    };
    bootstrap(&shipped, &VARIANTS, &knowledge, dir).unwrap()
}

#[test]
fn every_variant_has_a_listener_with_its_filter_and_only_that() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = yaml(dir.path());
    for variant in VARIANTS {
        let start = format!("  - name: {}\n", variant.name);
        let (_, rest) = yaml.split_once(&start).unwrap();
        let listener = rest.split("\n  - name: ").next().unwrap();
        let filters = listener.matches("\n          - name: ").count();
        let expected = if variant.chain == Chain::Empty { 1 } else { 2 };
        assert_eq!(filters, expected, "{}", variant.name);
        assert_eq!(listener.matches("access_log").count(), 0);
        assert_eq!(listener.matches("direct_response").count(), 1);
        let table = matches!(variant.chain, Chain::Kya { table: Some(_), .. });
        assert_eq!(listener.contains(TABLE_KEY), table, "{}", variant.name);
        let quiet = matches!(variant.chain, Chain::Kya { audit: false, .. });
        assert_eq!(listener.contains(r#""mode": "off""#), quiet, "{}", variant.name);
    }
    assert_eq!(yaml.matches("\n  clusters:\n").count(), 1);
    assert_eq!(yaml.matches("at_two").count(), 1);
}

#[test]
fn envoy_takes_the_bootstrap() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("envoy.yaml");
    std::fs::write(&file, yaml(dir.path())).unwrap();
    let mut envoy = Command::new(Artifacts::debug().envoy().unwrap());
    envoy.args(["--mode", "validate", "--log-level", "error", "-c"]).arg(&file);
    let said = output(envoy.env("KYA_NODE_CREDENTIAL", "nc_")).unwrap();
    assert!(said.contains("OK"), "{said}");
}
