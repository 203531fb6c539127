//! The flags of `kya-control-plane serve`.

use std::path::PathBuf;

use clap::Args;
use kya_control_plane::config::Values;

/// The settings, each as it was written.
#[derive(Args)]
pub(crate) struct Serve {
    /// Directory of the database and the keys, made if there is none.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// PostgreSQL database to use instead of SQLite in the data directory: `postgres://user@host/name`.
    ///
    /// The password is better in PGPASSWORD or in the file that PGPASSFILE names: every user
    /// of the machine sees the flags of a process.
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// File that checkpoints of the audit trail are appended to, in a second place.
    #[arg(long, value_name = "FILE")]
    audit_anchor_file: Option<String>,
    /// Address that checkpoints of the audit trail are put to (HTTP PUT), in a second place.
    ///
    /// `{size}` in it stands for the number of records, so that each has a name of its own. Only
    /// https:// is, but for this machine. A presigned address is a secret: better in the
    /// environment than in a flag.
    #[arg(long, value_name = "URL")]
    audit_anchor_url: Option<String>,
    /// How long after a kill the audit trail says how it ended, whatever is not known then
    /// [default: 60s].
    #[arg(long, value_name = "DURATION")]
    kill_timeout: Option<String>,
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "KYA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Address of the HTTP API [default: 127.0.0.1:7080].
    #[arg(long, value_name = "ADDR")]
    http_listen: Option<String>,
    /// Address of the enforcement protocol [default: 127.0.0.1:7081].
    #[arg(long, value_name = "ADDR")]
    grpc_listen: Option<String>,
    /// PEM file of the HTTP API's certificate; the API then speaks TLS. Re-read when it changes.
    #[arg(long, value_name = "FILE")]
    http_tls_cert: Option<String>,
    /// PEM file of its private key.
    #[arg(long, value_name = "FILE")]
    http_tls_key: Option<String>,
    /// PEM file of authorities: every client must show a certificate of one of them.
    #[arg(long, value_name = "FILE")]
    http_tls_client_ca: Option<String>,
    /// PEM file of the certificate of the enforcement protocol, which then speaks TLS.
    #[arg(long, value_name = "FILE")]
    grpc_tls_cert: Option<String>,
    /// PEM file of its private key.
    #[arg(long, value_name = "FILE")]
    grpc_tls_key: Option<String>,
    /// PEM file of authorities: every proxy must show a certificate of one of them.
    #[arg(long, value_name = "FILE")]
    grpc_tls_client_ca: Option<String>,
    /// What the issuer of capability tokens is called: the public address of the HTTP API.
    ///
    /// Agents get tokens at URL/oauth/token, and whoever checks them finds the keys at
    /// URL/.well-known/jwks.json. Without it no capability tokens are issued.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// How long a capability token lives at most, up to 24h [default: 1h].
    #[arg(long, value_name = "DURATION")]
    capability_max_ttl: Option<String>,
    /// Serve addresses that other machines reach without TLS, because a mesh or a tunnel encrypts.
    #[arg(long)]
    allow_plaintext: bool,
    /// Restore what is stopped, and end a halt, only when a second operator approves it.
    #[arg(long)]
    second_operator_to_resume: bool,
    /// Let in operators by OpenID Connect: the issuer of their tokens, as its `iss` says.
    #[arg(long, value_name = "URL", help_heading = "Single sign-on")]
    oidc_issuer: Option<String>,
    /// What `aud` of these tokens must name: usually the client id.
    #[arg(long, value_name = "TEXT", help_heading = "Single sign-on")]
    oidc_audience: Option<String>,
    /// Which group has which role: `sre=operator,security=admin`, or a JSON object.
    #[arg(long, value_name = "GROUP=ROLE,…", help_heading = "Single sign-on")]
    oidc_roles: Option<String>,
    /// Claim with the groups; one that begins with `/` is a JSON pointer [default: groups].
    #[arg(long, value_name = "CLAIM", help_heading = "Single sign-on")]
    oidc_groups_claim: Option<String>,
    /// Claim that operators are called by, as `oidc:VALUE` [default: sub].
    #[arg(long, value_name = "CLAIM", help_heading = "Single sign-on")]
    oidc_name_claim: Option<String>,
    /// What `azp` may be, where a token has it [default: the audience].
    #[arg(long, value_name = "TEXT,…", help_heading = "Single sign-on")]
    oidc_authorized_parties: Option<String>,
    /// Algorithms that count, of RS256, ES256 and EdDSA [default: all three].
    #[arg(long, value_name = "ALG,…", help_heading = "Single sign-on")]
    oidc_algorithms: Option<String>,
    /// How far the issuer's clock may be off [default: 30s].
    #[arg(long, value_name = "DURATION", help_heading = "Single sign-on")]
    oidc_leeway: Option<String>,
    /// Where the issuer's keys are [default: where its discovery document says].
    #[arg(long, value_name = "URL", help_heading = "Single sign-on")]
    oidc_jwks_url: Option<String>,
    /// PEM file of the authorities of the issuer's certificate [default: those of this machine].
    #[arg(long, value_name = "FILE", help_heading = "Single sign-on")]
    oidc_ca: Option<String>,
    /// How long requests under way may take to end at shutdown [default: 10s].
    #[arg(long, value_name = "DURATION")]
    drain_timeout: Option<String>,
    /// Which log lines to write, for example `info` or `kya_control_plane=debug` [default: info].
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// `text` or `json` [default: text].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Check the configuration, print what is effective, and exit: 0 if it is valid, 2 if not.
    #[arg(long)]
    pub(crate) validate: bool,
}

impl Serve {
    pub(crate) fn flags(&self) -> Values {
        [
            ("data_dir", &self.data_dir),
            ("database_url", &self.database_url),
            ("audit_anchor_file", &self.audit_anchor_file),
            ("audit_anchor_url", &self.audit_anchor_url),
            ("kill_timeout", &self.kill_timeout),
            ("http_listen", &self.http_listen),
            ("grpc_listen", &self.grpc_listen),
            ("http_tls_cert", &self.http_tls_cert),
            ("http_tls_key", &self.http_tls_key),
            ("http_tls_client_ca", &self.http_tls_client_ca),
            ("grpc_tls_cert", &self.grpc_tls_cert),
            ("grpc_tls_key", &self.grpc_tls_key),
            ("grpc_tls_client_ca", &self.grpc_tls_client_ca),
            ("issuer", &self.issuer),
            ("capability_max_ttl", &self.capability_max_ttl),
            ("allow_plaintext", &self.allow_plaintext.then(|| "true".to_owned())),
            (
                "second_operator_to_resume",
                &self.second_operator_to_resume.then(|| "true".to_owned()),
            ),
            ("oidc_issuer", &self.oidc_issuer),
            ("oidc_audience", &self.oidc_audience),
            ("oidc_roles", &self.oidc_roles),
            ("oidc_groups_claim", &self.oidc_groups_claim),
            ("oidc_name_claim", &self.oidc_name_claim),
            ("oidc_authorized_parties", &self.oidc_authorized_parties),
            ("oidc_algorithms", &self.oidc_algorithms),
            ("oidc_leeway", &self.oidc_leeway),
            ("oidc_jwks_url", &self.oidc_jwks_url),
            ("oidc_ca", &self.oidc_ca),
            ("drain_timeout", &self.drain_timeout),
            ("log", &self.log),
            ("log_format", &self.log_format),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text.clone()?)))
        .collect()
    }
}
