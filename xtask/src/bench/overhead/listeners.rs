//! The bootstrap: the shipped one, with a listener for each variant.
//!
//! Every listener is the shipped one with the same settings of the connection manager,
//! and answers `/v1/ledger`, which is an action, by itself; all else goes to the service. Only what stands before
//! the router differs. There is no access log, which would cost the same everywhere and
//! more than many of these filters.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::variants::{Chain, LUA_DENIES, Server, Variant};
use super::wasm;

/// What a listener answers by itself, and what the service does.
pub(super) const DIRECT: &str = "/v1/ledger";
pub(super) const UPSTREAM: &str = "/healthz";

const LISTENER: &str = "  - name: kya_ingress\n";
const CLUSTERS: &str = "\n  clusters:\n";
const LOG: &str = "          # One line a request";
const FILTERS: &str = "          http_filters:\n";
const KYA: &str = "          - name: kya\n";
const ROUTER: &str = "          - name: envoy.filters.http.router\n";
const ROUTE: &str = "              - match: { prefix: \"/\" }\n";
const ANSWER: &str = "              - match: { path: \"/v1/ledger\" }\n                direct_response: { status: 200 }\n";
const SERVICE: &str = "\"service\": \"payments\",";
const QUIET: &str = "\"service\": \"payments\", \"audit\": { \"mode\": \"off\" },";
const VM: &str = "vm_id: kya\n";
const TYPE: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// What the filters need to know.
#[derive(Debug)]
pub(super) struct Knowledge {
    /// `iss` of the capability tokens, and the keys as a JWK Set.
    pub(super) issuer: String,
    pub(super) jwks: String,
    /// The opaque tokens that may pass, of which the first is the one.
    pub(super) tokens: Vec<String>,
    /// Where each server of `ext_authz` listens.
    pub(super) servers: Vec<(Server, String)>,
    /// Where the control plane of each table listens, and whose signature counts there.
    pub(super) tables: Vec<(u32, String)>,
    pub(super) table_key: String,
    /// Whose signature counts for the real one.
    pub(super) update_key: String,
}

/// The bootstrap with a listener for each of `variants`, and one for each piece that is
/// measured, whose filters are written into `dir`.
pub(super) fn bootstrap(
    shipped: &str,
    variants: &[Variant],
    knowledge: &Knowledge,
    dir: &Path,
) -> Result<String> {
    let (before, rest) = shipped.split_once(LISTENER).context("there is no listener")?;
    let (listener, after) = rest.split_once(CLUSTERS).context("there are no clusters")?;
    let parts = Parts::of(listener)?;
    let mut yaml = format!("{before}{LISTENER}{listener}");
    for variant in variants {
        let filter = filter(&parts, variant.chain, knowledge, dir)
            .with_context(|| variant.name.to_owned())?;
        yaml += &parts.listener(variant.name, &filter);
    }
    for piece in &wasm::PIECES {
        for repeats in wasm::REPEATS {
            let name = piece.listener(repeats);
            let filter = wasm_filter(&name, &wasm::piece(dir, piece, repeats)?);
            yaml += &parts.listener(&name, &filter);
        }
    }
    yaml += CLUSTERS;
    for (server, address) in &knowledge.servers {
        yaml += &http2_cluster(cluster_of(*server), address)?;
    }
    for (tokens, address) in &knowledge.tables {
        yaml += &http2_cluster(&format!("table_{tokens}"), address)?;
    }
    Ok(yaml + after)
}

/// The shipped listener, taken apart.
#[derive(Debug)]
struct Parts<'a> {
    head: &'a str,
    kya: &'a str,
    tail: String,
}

impl<'a> Parts<'a> {
    fn of(listener: &'a str) -> Result<Self> {
        let (head, rest) = listener.split_once(LOG).context("there is no access log")?;
        let (_, rest) = rest.split_once(FILTERS).context("there are no filters")?;
        let (between, tail) = rest.split_once(ROUTER).context("there is no router")?;
        let kya = between.strip_prefix(KYA).context("kya is not the first filter")?;
        for (text, within) in [(ROUTE, tail), (SERVICE, kya), (VM, kya)] {
            ensure!(within.matches(text).count() == 1, "{text:?} is not there once");
        }
        Ok(Self { head, kya, tail: tail.replace(ROUTE, &format!("{ANSWER}{ROUTE}")) })
    }

    /// A listener of this name with this filter.
    fn listener(&self, name: &str, filter: &str) -> String {
        let head = self.head.replace("kya_ingress", name);
        format!("\n  - name: {name}\n{head}{FILTERS}{filter}{ROUTER}{}", self.tail)
    }

    /// The shipped filter with another `vm_id`, since VMs with the same one share state.
    fn kya(&self, vm: &str, from_to: &[(&str, &str)]) -> Result<String> {
        let mut filter = format!("{KYA}{}", self.kya).replace(VM, &format!("vm_id: {vm}\n"));
        for (from, to) in from_to {
            ensure!(filter.matches(from).count() == 1, "{from:?} is not there once");
            filter = filter.replace(from, to);
        }
        Ok(filter)
    }
}

fn filter(parts: &Parts<'_>, chain: Chain, knowledge: &Knowledge, dir: &Path) -> Result<String> {
    Ok(match chain {
        Chain::Empty => String::new(),
        Chain::Noop => wasm_filter("noop", &wasm::nothing(dir)?),
        Chain::Kya { audit: true, table: None } => parts.kya("kya_audit", &[])?,
        Chain::Kya { audit: false, table: None } => parts.kya("kya_quiet", &[(SERVICE, QUIET)])?,
        Chain::Kya { audit, table: Some(tokens) } => {
            let mut changes = vec![
                ("\"kya_control_plane\"", format!("\"table_{tokens}\"")),
                ("\"kya_control_plane_pull\"", format!("\"table_{tokens}\"")),
                (&*knowledge.update_key, knowledge.table_key.clone()),
            ];
            if !audit {
                changes.push((SERVICE, QUIET.to_owned()));
            }
            let changes: Vec<_> = changes.iter().map(|(from, to)| (*from, &**to)).collect();
            parts.kya(&format!("kya_table_{tokens}"), &changes)?
        }
        Chain::Jwt { cached } => jwt(knowledge, cached),
        Chain::Rbac => rbac(knowledge.tokens.first().context("no token")?),
        Chain::Lua => lua(&knowledge.tokens)?,
        Chain::ExtAuthz(server) => native(
            "ext_authz",
            "ExtAuthz",
            &format!(
                "transport_api_version: V3
grpc_service:
  envoy_grpc: {{ cluster_name: {} }}
  timeout: 2s
",
                cluster_of(server)
            ),
        ),
    })
}

fn cluster_of(server: Server) -> &'static str {
    match server {
        Server::Constant => "ext_authz_constant",
        Server::Redis => "ext_authz_redis",
        Server::Rego => "ext_authz_rego",
    }
}

/// A filter that is part of Envoy, with these settings.
fn native(name: &str, message: &str, settings: &str) -> String {
    let mut yaml = format!(
        "          - name: envoy.filters.http.{name}
            typed_config:
              \"@type\": {TYPE}.{name}.v3.{message}
"
    );
    for line in settings.lines() {
        // Writing into a string cannot fail.
        let _ = writeln!(yaml, "              {line}");
    }
    yaml
}

fn wasm_filter(name: &str, file: &Path) -> String {
    native(
        "wasm",
        "Wasm",
        &format!(
            "config:
  name: {name}
  root_id: {name}
  vm_config:
    vm_id: {name}
    runtime: envoy.wasm.runtime.v8
    code:
      local: {{ filename: \"{}\" }}
",
            file.display()
        ),
    )
}

fn jwt(knowledge: &Knowledge, cached: bool) -> String {
    let Knowledge { issuer, jwks, .. } = knowledge;
    let cache = if cached { "    jwt_cache_config: { jwt_cache_size: 1000 }\n" } else { "" };
    native(
        "jwt_authn",
        "JwtAuthentication",
        &format!(
            "providers:
  kya:
    issuer: \"{issuer}\"
    audiences: [payments]
    local_jwks: {{ inline_string: '{jwks}' }}
{cache}rules:
- match: {{ prefix: \"/\" }}
  requires: {{ provider_name: kya }}
"
        ),
    )
}

fn rbac(token: &str) -> String {
    native(
        "rbac",
        "RBAC",
        &format!(
            "rules:
  action: ALLOW
  policies:
    agent:
      permissions: [{{ any: true }}]
      principals:
      - header: {{ name: authorization, string_match: {{ exact: \"Bearer {token}\" }} }}
"
        ),
    )
}

fn lua(tokens: &[String]) -> Result<String> {
    let mut code = String::from("local allowed = {\n");
    for token in tokens {
        writeln!(code, "  [\"Bearer {token}\"] = true,")?;
    }
    write!(
        code,
        "}}
function envoy_on_request(handle)
  if not allowed[handle:headers():get(\"authorization\")] then
    handle:respond({{ [\":status\"] = \"403\" }}, \"{LUA_DENIES}\")
  end
end
"
    )?;
    let code: String = code.lines().map(|line| format!("    {line}\n")).collect();
    Ok(native("lua", "Lua", &format!("default_source_code:\n  inline_string: |\n{code}")))
}

/// A cluster that speaks HTTP/2 to one address.
fn http2_cluster(name: &str, address: &str) -> Result<String> {
    let (host, port) = address.rsplit_once(':').context("no port")?;
    Ok(format!(
        "  - name: {name}
    type: STATIC
    connect_timeout: 1s
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config:
          http2_protocol_options: {{}}
    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address:
              socket_address: {{ address: {host}, port_value: {port} }}
"
    ))
}

#[cfg(test)]
#[path = "listeners_tests.rs"]
mod tests;
