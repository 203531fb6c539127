//! The OpenAPI 3.1 document of the HTTP API, made from the routes: their paths, their
//! permissions, and the types that their handlers take and answer.

mod page;
mod summaries;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::describe::{Operation, Schemas};
use super::problem::{Body, Code};
use super::{PREFIX, for_everyone, for_operators, for_proxies};
use crate::operators::{Permission, Role};
pub(super) use page::{serve_page, serve_style};
use summaries::{OTHERS, SUMMARIES, of};

/// Statuses with which anything for operators may answer. 405 is left out: a document
/// lists only methods that there are.
const ALWAYS: [u16; 5] = [401, 403, 429, 500, 503];

static TEXT: LazyLock<String> = LazyLock::new(text);

/// It holds no secret and nothing of this installation, so it takes no key: a browser
/// cannot send one with an address.
pub(super) async fn serve() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "application/json"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (headers, TEXT.as_str())
}

/// The document as it is written into a file.
pub fn text() -> String {
    format!("{:#}\n", document())
}

/// The document.
pub fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, takes, describe) in for_operators().all() {
        let mut operation = Operation::default();
        describe(&mut schemas, &mut operation);
        add(&mut paths, method, format!("{PREFIX}{path}"), guarded(method, path, takes, operation));
    }
    for (method, path) in for_proxies().all() {
        let path = format!("{PREFIX}{path}");
        add(&mut paths, method, path.clone(), for_a_proxy(method, &path));
    }
    for (method, path) in for_everyone().all() {
        add(&mut paths, method, (*path).to_owned(), open(method, path));
    }
    let problem = schemas.answered::<Body<'static>>();
    let responses: Map<String, Value> = Code::statuses()
        .into_iter()
        .map(|(status, codes)| (format!("Problem{status}"), problem_of(&problem, &codes)))
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "kya control plane",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "A kill switch for AI agents inside Envoy. Errors are problems (RFC 9457).",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.finish(),
            "responses": responses,
            "securitySchemes": {
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The key of an operator, `ok_...`, or the admin key. What its role may do is said by `x-kya-permission` and `x-kya-roles` of each operation",
                },
                "node": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The credential of a registered proxy",
                },
            },
        },
    })
}

fn add(paths: &mut Map<String, Value>, method: &str, path: String, operation: Value) {
    let item = paths.entry(path).or_insert_with(|| json!({}));
    if let Value::Object(item) = item {
        item.insert(method.to_ascii_lowercase(), operation);
    }
}

fn guarded(method: &str, path: &str, takes: Permission, made: Operation) -> Value {
    let (tag, summary) = of(SUMMARIES, method, path).unwrap_or_default();
    let mut parameters = made.parameters;
    if let Some(schema) = made.segment {
        let name = path.split(['{', '}']).nth(1).unwrap_or_default();
        let variable = json!({ "name": name, "in": "path", "required": true, "schema": schema });
        parameters.insert(0, variable);
    }
    let mut responses = Map::new();
    for (status, answer) in made.answers {
        responses.insert(status.to_string(), answer);
    }
    let statuses: BTreeSet<u16> = made.problems.into_iter().chain(ALWAYS).collect();
    for status in statuses {
        responses.insert(status.to_string(), problem_reference(status));
    }
    let roles: Vec<_> = takes.holders().iter().copied().map(Role::name).collect();
    let mut operation = json!({
        "operationId": operation_id(method, path),
        "tags": [tag],
        "summary": summary,
        "security": [{ "operator": [] }],
        "x-kya-permission": takes.name(),
        "x-kya-roles": roles,
        "parameters": parameters,
        "responses": responses,
    });
    if let (Some(body), Value::Object(operation)) = (made.body, &mut operation) {
        operation.insert("requestBody".to_owned(), body);
    }
    operation
}

fn for_a_proxy(method: &str, path: &str) -> Value {
    let mut operation = open(method, path);
    let content = json!({ "application/x-protobuf": {} });
    let done = json!({ "description": "Done", "content": content });
    let mut responses = Map::from_iter([("200".to_owned(), done)]);
    for status in [400, 401, 403, 413, 415, 422, 500, 503] {
        responses.insert(status.to_string(), problem_reference(status));
    }
    if let Value::Object(operation) = &mut operation {
        let body = json!({ "required": true, "content": content });
        operation.insert("requestBody".to_owned(), body);
        operation.insert("security".to_owned(), json!([{ "node": [] }]));
        operation.insert("responses".to_owned(), Value::Object(responses));
    }
    operation
}

fn open(method: &str, path: &str) -> Value {
    let (tag, summary) = of(OTHERS, method, path).unwrap_or_default();
    let media_type = match path {
        "/openapi.json" => "application/json",
        "/docs" | "/audit/verify" => "text/html",
        "/docs/style.css" => "text/css",
        _ => "text/plain",
    };
    let mut operation = json!({
        "operationId": operation_id(method, path),
        "tags": [tag],
        "summary": summary,
        "security": [],
        "responses": {
            "200": { "description": "Done", "content": { media_type: {} } },
            "500": problem_reference(500),
            "503": problem_reference(503),
        },
    });
    if path == "/audit/verify" {
        operation["responses"]["404"] =
            json!({ "description": "This server has none", "content": { "text/plain": {} } });
    }
    operation
}

fn problem_reference(status: u16) -> Value {
    json!({ "$ref": format!("#/components/responses/Problem{status}") })
}

/// A problem, and the codes that one of its status has.
fn problem_of(problem: &Value, codes: &[&str]) -> Value {
    let narrowed = json!({ "properties": { "code": { "enum": codes } } });
    let schema = json!({ "allOf": [problem, narrowed] });
    json!({
        "description": format!("A problem (RFC 9457): {}", codes.join(", ")),
        "content": { "application/problem+json": { "schema": schema } },
    })
}

/// Such as `post_agents_agent_id_revoke`.
fn operation_id(method: &str, path: &str) -> String {
    let plain = path.replace(['{', '}'], "");
    let words = plain.split(['/', '-', '.']).filter(|word| !word.is_empty());
    words.fold(method.to_ascii_lowercase(), |id, word| format!("{id}_{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed() -> BTreeSet<(String, String)> {
        let document = document();
        let paths = document["paths"].as_object().unwrap().clone();
        let operations = paths.into_iter().flat_map(|(path, item)| {
            let methods: Vec<_> = item.as_object().unwrap().keys().cloned().collect();
            methods.into_iter().map(move |method| (method.to_ascii_uppercase(), path.clone()))
        });
        operations.collect()
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let operators = for_operators();
        let guarded = operators.all().map(|(m, p, ..)| (m.to_owned(), format!("{PREFIX}{p}")));
        let (proxies, everyone) = (for_proxies(), for_everyone());
        let proxies = proxies.all().iter().map(|(m, p)| ((*m).to_owned(), format!("{PREFIX}{p}")));
        let everyone = everyone.all().iter().map(|(m, p)| ((*m).to_owned(), (*p).to_owned()));
        let routes: BTreeSet<_> = guarded.chain(proxies).chain(everyone).collect();
        assert_eq!(listed(), routes);
        // Each has its line, and no line is of something that there is not.
        let told = SUMMARIES.iter().map(|(m, p, ..)| ((*m).to_owned(), format!("{PREFIX}{p}")));
        let told = told.chain(OTHERS.iter().map(|(m, p, ..)| ((*m).to_owned(), (*p).to_owned())));
        assert_eq!(told.collect::<BTreeSet<_>>(), routes);
    }

    #[test]
    fn a_policy_to_be_under_must_be_named_even_if_it_is_none() {
        let operation = &document()["paths"]["/v1/agents/{agent_id}/policy"]["post"];
        let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
        assert_eq!(schema["required"], json!(["policy"]));
    }

    #[test]
    fn each_operation_says_what_its_route_takes() {
        let document = document();
        let mut ids = BTreeSet::new();
        for (method, path, takes, _) in for_operators().all() {
            let operation = &document["paths"][format!("{PREFIX}{path}")][method.to_lowercase()];
            assert_eq!(operation["x-kya-permission"], takes.name(), "{method} {path}");
            assert_eq!(operation["security"], json!([{ "operator": [] }]), "{method} {path}");
            assert_eq!(path.contains('{'), operation["parameters"][0]["in"] == "path", "{path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{path}");
            for status in ALWAYS {
                let told = &operation["responses"][status.to_string()];
                assert_eq!(*told, problem_reference(status), "{method} {path}");
            }
        }
    }

    #[test]
    fn every_reference_in_the_document_leads_somewhere() {
        fn check(all: &Value, part: &Value) {
            match part {
                Value::Object(fields) => {
                    if let Some(Value::String(to)) = fields.get("$ref") {
                        let to = to.strip_prefix('#').unwrap();
                        assert!(all.pointer(to).is_some(), "{to}");
                    }
                    fields.values().for_each(|part| check(all, part));
                }
                Value::Array(parts) => parts.iter().for_each(|part| check(all, part)),
                _ => {}
            }
        }
        let document = document();
        check(&document, &document);
    }

    #[tokio::test]
    async fn document_and_page_open_without_a_key_and_run_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let config = crate::config::Config::ephemeral(temp.path());
        let server = crate::Server::start(config).await.unwrap();
        let get = async |path: &str| {
            let answer = reqwest::get(format!("http://{}{path}", server.http_addr)).await.unwrap();
            assert_eq!(answer.status().as_u16(), 200, "{path}");
            let headers = answer.headers().clone();
            assert_eq!(headers["cache-control"], "no-store", "{path}");
            assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
            (headers, answer.text().await.unwrap())
        };
        let (_, told) = get("/openapi.json").await;
        assert_eq!(serde_json::from_str::<Value>(&told).unwrap(), document());
        let (headers, page) = get("/docs").await;
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"));
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for (method, path) in listed() {
            let operation = &document()["paths"][&path][method.to_lowercase()];
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{method} {path}");
        }
        for forbidden in ["<script", " style=", "http://", "https://", " on"] {
            let tags = page.split('<').filter_map(|part| part.split('>').next());
            assert!(tags.map(|tag| format!("<{tag}")).all(|tag| !tag.contains(forbidden)));
        }
        let (headers, _) = get("/docs/style.css").await;
        assert!(headers["content-type"].to_str().unwrap().starts_with("text/css"));
        server.shutdown().await;
    }
}
