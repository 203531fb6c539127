//! Exports of the trail.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as ResponseBody, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use kya_core::audit::Archived;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, mpsc};

use super::asked::asks;
use super::stream::Whole;
use crate::api::Api;
use crate::api::describe::{Answers, Operation, Schemas, Shaped};
use crate::api::extract::{Body, Params};
use crate::api::problem::{Code, Problem};
use crate::api::routes::By;
use crate::audit::shares::{EXPORTS, Room, Share};
use crate::audit::{ArchiveRefused, Export, ExportFailed, Format, Wanted};
use crate::operators::Operator;

/// How long it may take to read a part that is archived once more.
pub(in crate::api) const ARCHIVE_TIMEOUT: Duration = Duration::from_secs(600);
/// Earlier checkpoints that one may have.
const AT_MOST: usize = 16;
/// Pieces that wait for whoever takes them.
const WAITING: usize = 4;

static ARCHIVING: Mutex<()> = Mutex::const_new(());

asks! {
    /// What is exported.
    ExportTrail {
        /// Number of the first record.
        first: Option<u64>,
        /// Number of the last record.
        last: Option<u64>,
        #[serde(default)]
        format: FormatName,
        /// Sizes of earlier checkpoints that are to be in it, separated by commas: at most 16.
        at: Option<Sizes>,
    }
}

/// Sizes of checkpoints.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Sizes(Vec<u64>);

impl TryFrom<String> for Sizes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let sizes = text.split(',').map(|it| it.parse().ok().filter(|it| *it > 0));
        match sizes.collect::<Option<Vec<_>>>() {
            Some(sizes) if sizes.len() <= AT_MOST => Ok(Self(sizes)),
            _ => Err(format!("must be numbers from 1, separated by commas, at most {AT_MOST}")),
        }
    }
}

impl schemars::JsonSchema for Sizes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Sizes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9]+(,[0-9]+){0,15}$" })
    }
}

/// How it is written.
#[derive(Debug, Clone, Copy, Default, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum FormatName {
    /// To be verified.
    #[default]
    Jsonl,
    /// To be read. It cannot be verified.
    Csv,
    /// To be read. It cannot be verified.
    CloudEvents,
}

/// Lines.
pub(in crate::api) struct Lines;

impl Answers for Lines {
    fn describe(_: &mut Schemas, operation: &mut Operation) {
        let text = json!({ "schema": { "type": "string" } });
        let content = json!({ "application/jsonl": text, "text/csv": text });
        operation.answers.insert(200, json!({ "description": "The export", "content": content }));
        operation.problems.extend([404, 409]);
    }
}

/// Room for one more large answer to this operator.
pub(in crate::api) fn export_turn(api: &Api, operator: &Operator) -> Result<Share, Problem> {
    let name = operator.name().to_string();
    api.trail.exports.take(&name, &name, 1).ok_or_else(|| {
        let Room { all, registration: of_one, .. } = EXPORTS;
        let told = format!(
            "{of_one} exports for this operator, or {all} for all, are being written; ask again later"
        );
        Problem::new(Code::TooManyRequests, told).retry_after(Duration::from_secs(5))
    })
}

pub(in crate::api) async fn export(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Params(asked): Params<ExportTrail>,
) -> Result<Shaped<Lines>, Problem> {
    let turn = export_turn(&api, &operator)?;
    let format = match asked.format {
        FormatName::Jsonl => Format::Jsonl,
        FormatName::Csv => Format::Csv,
        FormatName::CloudEvents => Format::CloudEvents,
    };
    let said = asked.asked();
    let mut filter = said.filter();
    (filter.first, filter.last) = (asked.first.unwrap_or(1), asked.last.unwrap_or(0));
    let at = asked.at.map(|sizes| sizes.0).unwrap_or_default();
    let wanted = Wanted { filter, said: said.said(), format, at };
    let export = Export::begin(Arc::clone(&api.trail), wanted).await?;
    let name = format!("kya-audit-{}.{}", export.size(), format.extension());
    let (pieces, taken) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let (body, is_whole) = Whole::new(taken);
    let draining = api.draining.clone();
    tokio::spawn(async move {
        let _turn = turn;
        let written = tokio::select! {
            written = export.write(&pieces) => written,
            () = draining.cancelled() => Err(ExportFailed::Left),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "an export of the audit trail ended early");
        } else {
            is_whole.store(true, Ordering::Release);
        }
    });
    let response = Response::builder()
        .header(header::CONTENT_TYPE, format.media_type())
        .header(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\""))
        .body(ResponseBody::from_stream(body));
    response.map(Shaped::new).map_err(|error| Problem::new(Code::Internal, error.to_string()))
}

/// Which part is archived: from the end of the last archive to this record.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct Archive {
    /// The last record of it.
    last: u64,
    /// SHA-256 of the export of exactly these records, 64 hexadecimal digits: what
    /// `GET /v1/audit/export?first=…&last=…` gave, byte for byte.
    sha256: String,
}

/// What was archived.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "AuditArchive")]
pub(in crate::api) struct Sealed {
    /// The record that says so.
    seq: u64,
    first: u64,
    last: u64,
    sha256: String,
}

/// The export is made once more: only who has had it, byte for byte, has it archived.
pub(in crate::api) async fn archive(
    State(api): State<Arc<Api>>,
    By(operator): By,
    Body(Archive { last, sha256 }): Body<Archive>,
) -> Result<Json<Sealed>, Problem> {
    let _turn = ARCHIVING.lock().await;
    let store = api.trail.store();
    let first = store.archives().await?.last().map_or(1, |before| before.last + 1);
    let filter = crate::store::audit::RecordFilter::all(first, last.max(1));
    let (said, format, at) = (Default::default(), Format::Jsonl, Vec::new());
    let wanted = Wanted { filter, said, format, at };
    let export = Export::begin(Arc::clone(&api.trail), wanted).await?;
    let (pieces, mut taken) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let writing = async move { export.write(&pieces).await };
    let hashing = async move {
        let mut hash = Sha256::new();
        while let Some(Ok(piece)) = taken.recv().await {
            hash.update(&piece);
        }
        hash
    };
    let (written, hash) = tokio::join!(writing, hashing);
    written?;
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != sha256.to_ascii_lowercase() {
        let told = format!(
            "`sha256` is not that of the export of the records {first} to {last}: export exactly these, and keep the file"
        );
        return Err(Problem::new(Code::Conflict, told));
    }
    let actor = operator.name().to_string();
    let archived = Archived { first, last, sha256: found, actor };
    let seq = api.trail.archive(archived.clone()).await?;
    let Archived { first, last, sha256, .. } = archived;
    Ok(Json(Sealed { seq, first, last, sha256 }))
}

impl From<ExportFailed> for Problem {
    fn from(error: ExportFailed) -> Self {
        let told = error.to_string();
        match error {
            ExportFailed::Store(error) => error.into(),
            ExportFailed::Range(..) | ExportFailed::NoSuchCheckpoint(_) => {
                Self::new(Code::NotFound, told)
            }
            ExportFailed::NoCheckpoint(_) | ExportFailed::Archived(_) => {
                Self::new(Code::Conflict, told)
            }
            ExportFailed::Torn(_)
            | ExportFailed::NoRecord(_)
            | ExportFailed::Left
            | ExportFailed::Unread => {
                tracing::error!(error = told, "audit export");
                Self::new(
                    Code::Internal,
                    "the audit trail cannot be exported; see the server's log",
                )
            }
        }
    }
}

impl From<ArchiveRefused> for Problem {
    fn from(error: ArchiveRefused) -> Self {
        match error {
            ArchiveRefused::NotAppended(error) => error.into(),
            ArchiveRefused::Changed => Self::new(Code::Conflict, error.to_string()),
        }
    }
}
