//! The document as a page for people. It has no script, so that a page of the server that
//! stops agents runs nothing in the browser of an operator, and nothing from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::LazyLock;

use axum::http::header;
use axum::response::IntoResponse;
use serde_json::Value;

use super::document;

const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>kya control plane</title>\
<link rel=\"stylesheet\" href=\"/docs/style.css\"></head><body>";

static PAGE: LazyLock<String> = LazyLock::new(|| page(&document()));

pub(in crate::api) async fn serve_page() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, PAGE.as_str())
}

pub(in crate::api) async fn serve_style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("style.css"))
}

/// The page of a document.
fn page(document: &Value) -> String {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or_default();
            sections.entry(tag).or_default().push_str(&shown(method, path, operation));
        }
    }
    let mut page = HEAD.to_owned();
    let info = &document["info"];
    let (title, version) = (text(&info["title"]), text(&info["version"]));
    let about = text(&info["description"]);
    let _ = write!(
        page,
        "<h1>{title} {version}</h1><p>{about} \
         The same as <a href=\"/openapi.json\">OpenAPI 3.1</a>.</p>"
    );
    for (tag, operations) in sections {
        let _ = write!(page, "<h2>{}</h2>{operations}", escaped(tag));
    }
    page.push_str("<h2>Schemas</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(
            page,
            "<details id=\"schema-{name}\"><summary>{name}</summary>{}</details>",
            json(schema)
        );
    }
    page.push_str("</body></html>\n");
    page
}

fn shown(method: &str, path: &str, operation: &Value) -> String {
    let (id, line) = (text(&operation["operationId"]), text(&operation["summary"]));
    let (method, path) = (method.to_ascii_uppercase(), escaped(path));
    let mut shown = format!(
        "<details id=\"{id}\"><summary><b>{method}</b> <code>{path}</code> <span>{line}</span></summary>"
    );
    if let Some(permission) = operation["x-kya-permission"].as_str() {
        let roles = operation["x-kya-roles"].as_array().into_iter().flatten();
        let roles: Vec<_> = roles.filter_map(Value::as_str).collect();
        let _ = write!(
            shown,
            "<p>Takes the permission <code>{}</code>, which these roles have: {}.</p>",
            escaped(permission),
            escaped(&roles.join(", "))
        );
    }
    for (title, part) in
        [("Parameters", "parameters"), ("Body", "requestBody"), ("Answers", "responses")]
    {
        match operation.get(part) {
            None => {}
            Some(Value::Array(list)) if list.is_empty() => {}
            Some(part) => {
                let _ = write!(shown, "<h4>{title}</h4>{}", json(part));
            }
        }
    }
    shown.push_str("</details>");
    shown
}

fn json(value: &Value) -> String {
    format!("<pre>{}</pre>", escaped(&format!("{value:#}")))
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_document_says_is_text() {
        let evil = "</pre><script>alert('1')</script>\"";
        let document = json!({
            "info": { "title": evil, "description": evil },
            "paths": { evil: { "get": { "operationId": evil, "tags": [evil], "summary": evil,
                "x-kya-permission": evil, "x-kya-roles": [evil], "responses": { "200": evil } } } },
            "components": { "schemas": { evil: { "description": evil } } },
        });
        let page = page(&document);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }
}
