//! `kya-control-plane`: serves a registry to people, tools and proxies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use kya_control_plane::config::{self, ConfigError, Effective, Values};
use kya_control_plane::data_dir::{DataDir, DataDirError};
use kya_control_plane::keys::{AdminKey, SigningKeys};
use kya_control_plane::rotation::KeyState;
use kya_control_plane::server::{self, Server};
use kya_control_plane::store::{DatabaseUrl, PostgresStore, SqliteStore, back_up, restore};
use kya_control_plane::telemetry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// The control plane of kya: registry, signed push to every proxy, HTTP API.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API and the enforcement protocol.
    ///
    /// Every setting can also be given in the environment (KYA_DATA_DIR,
    /// KYA_HTTP_LISTEN, …) and in the configuration file. A flag wins over the
    /// environment, the environment over the file.
    Serve(Box<Serve>),
    /// Print the public key that proxies must pin, and make the key if there is none.
    ///
    /// It is the key that signs updates now, whether or not a server is running.
    PublicKey {
        /// Directory of the database and the keys.
        #[arg(long, value_name = "DIR", env = "KYA_DATA_DIR")]
        data_dir: PathBuf,
        /// The PostgreSQL database, if the server uses one.
        #[arg(long, value_name = "URL", env = "KYA_DATABASE_URL", hide_env_values = true)]
        database_url: Option<String>,
        /// Make the directory too if there is none: before the first start.
        #[arg(long)]
        create: bool,
        /// Print every key that counts, the one that signs first: two while the key
        /// is being replaced.
        #[arg(long)]
        all: bool,
    },
    /// Copy the SQLite database to a new file, whether or not a server is running.
    ///
    /// The keys are not in it: keep a copy of the `*.key` files, too, in a place as safe.
    Backup {
        /// Directory of the database and the keys.
        #[arg(long, value_name = "DIR", env = "KYA_DATA_DIR")]
        data_dir: PathBuf,
        /// The file to make.
        file: PathBuf,
        /// Copy the audit trail, too, to this new file.
        #[arg(long, value_name = "FILE")]
        audit: Option<PathBuf>,
    },
    /// Put a backup in the place of the SQLite database. No server may be running.
    ///
    /// What was committed since the backup is gone: revocations must be made again. The
    /// database before is kept as `kya.db.replaced`. The audit trail stays as it is, and says
    /// that the registry was put back.
    Restore {
        /// Directory of the database and the keys.
        #[arg(long, value_name = "DIR", env = "KYA_DATA_DIR")]
        data_dir: PathBuf,
        /// A file that `backup` has made.
        file: PathBuf,
    },
}

#[derive(Args)]
struct Serve {
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
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "KYA_CONFIG")]
    config: Option<PathBuf>,
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
    validate: bool,
}

const USAGE: u8 = 2;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    let serve = match command {
        Command::Serve(serve) => serve,
        Command::PublicKey { data_dir, database_url, create, all } => {
            // Read here, so that what is wrong with it is told without repeating it.
            let database_url = database_url.map(|text| text.parse()).transpose();
            let database_url = database_url.context("--database-url")?;
            public_key(&data_dir, database_url.as_ref(), create, all)?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Backup { data_dir, file, audit } => {
            let data_dir = DataDir::open_existing(&data_dir)?;
            let database = data_dir.path().join(server::DATABASE_FILE);
            runtime()?.block_on(back_up(&database, &file))?;
            if let Some(file) = audit {
                let trail = data_dir.path().join(server::AUDIT_DATABASE_FILE);
                runtime()?.block_on(back_up(&trail, &file))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Command::Restore { data_dir, file } => {
            let data_dir = DataDir::open(&data_dir)?;
            let lock = data_dir.lock()?;
            let database = data_dir.path().join(server::DATABASE_FILE);
            if let Some(why) = runtime()?.block_on(restore(&lock, &file, &database))? {
                let why = anyhow::Error::from(why);
                eprintln!("warning: the database before could not be read ({why:#})");
            }
            return Ok(ExitCode::SUCCESS);
        }
    };
    let effective = match effective(&serve) {
        Ok(effective) => effective,
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("error: {error}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if serve.validate {
        return Ok(validate(&effective));
    }
    telemetry::init_logs(&effective.config)?;
    raise_file_limit();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve_until_signal(effective))
}

/// For what is done once.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// A key of a mistyped directory would be pinned as willingly as the right one,
/// so nothing is made unasked or unsaid.
fn public_key(
    path: &Path,
    database_url: Option<&DatabaseUrl>,
    create: bool,
    all: bool,
) -> anyhow::Result<()> {
    let data_dir = match DataDir::open_existing(path) {
        Err(DataDirError::Missing(_)) if create => {
            let data_dir = DataDir::open(path)?;
            eprintln!("made the data directory {}", path.display());
            data_dir
        }
        Err(error @ DataDirError::Missing(_)) => {
            anyhow::bail!("{error}: start the server once, or give --create")
        }
        data_dir => data_dir?,
    };
    let files = SigningKeys::new(data_dir.clone());
    let database = data_dir.path().join(server::DATABASE_FILE);
    let runtime = runtime()?;
    let (recorded, steps) = match database_url {
        Some(url) => {
            runtime.block_on(PostgresStore::peek_keys(url)).with_context(|| url.to_string())?
        }
        None => {
            let steps = runtime.block_on(SqliteStore::peek_key_steps(&database));
            (None, steps.with_context(|| database.display().to_string())?)
        }
    };
    let first = match steps.first().map(|step| step.change.active).or(recorded) {
        Some(first) => first,
        None => {
            let (signer, made) = files.first()?;
            files.publish(signer.public_key())?;
            if made {
                eprintln!("made a new signing key in {}", path.display());
            }
            signer.public_key()
        }
    };
    let keys = KeyState::new(first, steps)?;
    println!("{}", keys.active);
    for other in keys.counting.iter().filter(|key| all && **key != keys.active) {
        println!("{other}");
    }
    Ok(())
}

fn effective(serve: &Serve) -> Result<Effective, Vec<ConfigError>> {
    let environment = config::from_environment(|name| std::env::var_os(name))?;
    let file = match &serve.config {
        Some(path) => Some((path.display().to_string(), config::from_file(path)?)),
        None => None,
    };
    let file = file.as_ref().map(|(path, values)| (path.as_str(), values));
    config::resolve(&serve.flags(), &environment, file)
}

impl Serve {
    fn flags(&self) -> Values {
        [
            ("data_dir", &self.data_dir),
            ("database_url", &self.database_url),
            ("audit_anchor_file", &self.audit_anchor_file),
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

/// Each proxy is an open file, and the usual limit is lower than what is allowed.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(from = limit.current, to = limit.maximum, "open files"),
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

fn validate(effective: &Effective) -> ExitCode {
    let config = &effective.config;
    let mut errors: Vec<anyhow::Error> = Vec::new();
    errors.extend(DataDir::check(Path::new(&config.data_dir)).err().map(Into::into));
    for tls in [&config.http_tls, &config.grpc_tls].into_iter().flatten() {
        errors.extend(tls.check().err().map(Into::into));
    }
    errors.extend(config.oidc.as_ref().and_then(|oidc| oidc.check().err()).map(Into::into));
    if errors.is_empty() {
        print!("{effective}");
        return ExitCode::SUCCESS;
    }
    errors.iter().for_each(|error| eprintln!("error: {error:#}"));
    ExitCode::from(USAGE)
}

async fn serve_until_signal(effective: Effective) -> anyhow::Result<ExitCode> {
    // Before anything says that the server is there.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;

    let data_dir = DataDir::open(&effective.config.data_dir)?;
    if let (key, true) = AdminKey::open_or_create(&data_dir)? {
        let path = data_dir.path().display();
        println!("admin key (kept in {path}/admin.key, not printed again): {}", key.reveal());
    }
    let mut server = Server::start(effective.config).await?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
        what = server.failed() => anyhow::bail!("{what} unexpectedly"),
    }
    server.shutdown().await;
    Ok(ExitCode::SUCCESS)
}
