//! `kya-control-plane`: serves a registry to people, tools and proxies.

mod flags;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use flags::Serve;
use kya_control_plane::config::{self, ConfigError, Effective};
use kya_control_plane::data_dir::{DataDir, DataDirError};
use kya_control_plane::keys::{AdminKey, SigningKeys};
use kya_control_plane::rotation::KeyState;
use kya_control_plane::server::{self, Server};
use kya_control_plane::store::{
    BackupError, DatabaseUrl, PostgresStore, SqliteStore, back_up, restore, restore_trail,
};
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
    /// Copy the SQLite databases, of the registry and of the audit trail, to new files, whether
    /// or not a server is running.
    ///
    /// The trail is copied first, so that no act is in it that the registry does not know. The
    /// keys are in neither: keep a copy of the `*.key` files, too, in a place as safe.
    Backup {
        /// Directory of the database and the keys.
        #[arg(long, value_name = "DIR", env = "KYA_DATA_DIR")]
        data_dir: PathBuf,
        /// The file to make.
        file: PathBuf,
        /// The file to make of the audit trail [default: FILE.audit].
        #[arg(long, value_name = "FILE")]
        audit: Option<PathBuf>,
        /// Copy the registry alone.
        #[arg(long, conflicts_with = "audit")]
        without_audit: bool,
    },
    /// Put a backup in the place of the SQLite database. No server may be running.
    ///
    /// What was committed since the backup is gone: revocations must be made again. The
    /// database before is kept as `kya.db.replaced`. The audit trail stays as it is, and says
    /// that the registry was put back; unless a copy of it is named.
    Restore {
        /// Directory of the database and the keys.
        #[arg(long, value_name = "DIR", env = "KYA_DATA_DIR")]
        data_dir: PathBuf,
        /// A file that `backup` has made.
        file: PathBuf,
        /// Put this copy of the audit trail back, too: only where `audit.db` itself is lost.
        ///
        /// Records since the copy are gone for ever. A record says that it was put back, and
        /// the trail before is kept as `audit.db.replaced`.
        #[arg(long, value_name = "FILE")]
        audit: Option<PathBuf>,
    },
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
        Command::Backup { data_dir, file, audit, without_audit } => {
            let data_dir = DataDir::open_existing(&data_dir)?;
            let [database, trail] = [server::DATABASE_FILE, server::AUDIT_DATABASE_FILE]
                .map(|name| data_dir.path().join(name));
            if file.symlink_metadata().is_ok() {
                return Err(BackupError::Exists(file).into());
            }
            if !without_audit && (trail.is_file() || audit.is_some()) {
                let audit = audit.unwrap_or_else(|| beside(&file, ".audit"));
                runtime()?.block_on(back_up(&trail, &audit))?;
            }
            runtime()?.block_on(back_up(&database, &file))?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Restore { data_dir, file, audit } => {
            let data_dir = DataDir::open(&data_dir)?;
            let lock = data_dir.lock()?;
            let database = data_dir.path().join(server::DATABASE_FILE);
            // The trail first: what is refused has changed nothing.
            if let Some(audit) = audit {
                let trail = data_dir.path().join(server::AUDIT_DATABASE_FILE);
                runtime()?.block_on(restore_trail(&lock, &audit, &trail))?;
                eprintln!(
                    "warning: what came after this copy of the audit trail is gone; a record says so, and checkpoints that auditors have kept since do not agree with it any more"
                );
            }
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

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
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
