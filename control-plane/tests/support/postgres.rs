//! A PostgreSQL server of the test binary: real, in a folder of its own, and gone
//! when the process is, however that ends.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kya_control_plane::store::DatabaseUrl;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};

use super::PATIENCE;

/// The user that a server runs as where the tests run as root, as which it refuses
/// to run: nobody.
const NOBODY: u32 = 65534;

/// Starts a server, says when it answers, keeps it for as long as its input is open,
/// and removes what it leaves.
const KEEPER: &str = r#"
"$1/postgres" -D "$2/data" -k "$2" -c listen_addresses= -c fsync=off -c max_connections=300 \
    > "$2/log" 2>&1 &
server=$!
tries=0
until "$1/pg_isready" -q -h "$2"; do
    tries=$((tries + 1))
    if [ $tries -gt 400 ] || ! kill -0 "$server"; then break; fi
    sleep 0.05
done
echo "tried $tries times"
read -r end
kill -INT "$server"
wait "$server"
rm -rf "$2"
"#;

pub struct Cluster {
    bin: PathBuf,
    dir: PathBuf,
    /// Its input is open for as long as this process lives.
    _keeper: Child,
}

/// A database that nobody else uses.
pub struct Database {
    pub name: String,
}

/// The server of this test binary.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

/// Where the programs are: `cargo xtask setup` has put a link there.
fn programs() -> PathBuf {
    let linked = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("postgres");
    let bin = std::env::var_os("KYA_POSTGRES_BIN").map_or(linked, PathBuf::from);
    assert!(
        bin.join("initdb").is_file(),
        "there is no PostgreSQL in {}: run `cargo xtask setup`",
        bin.display()
    );
    bin.canonicalize().unwrap()
}

impl Cluster {
    fn start() -> Self {
        let mut bin = programs();
        let dir = tempfile::Builder::new().prefix("kya-pg-").tempdir().unwrap().keep();
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        if is_root() {
            chown(&dir, Some(NOBODY), Some(NOBODY)).unwrap();
            if !is_open_to_all(&bin) {
                bin = copy(&bin, &dir);
            }
        }
        let mut initdb = command(&bin.join("initdb"));
        initdb.arg("-D").arg(dir.join("data"));
        initdb.args(["-U", "kya", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        let made = initdb.output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "{initdb:?}: {said}");
        // One user has to give a password.
        let rules = "local all locked scram-sha-256\nlocal all all trust\n";
        std::fs::write(dir.join("data/pg_hba.conf"), rules).unwrap();

        let mut keeper = command(Path::new("/bin/sh"));
        keeper.args(["-c", KEEPER, "keeper"]).arg(&bin).arg(&dir);
        keeper.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut keeper = keeper.spawn().unwrap();
        let mut tried = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut tried).unwrap();
        let cluster = Self { bin, dir, _keeper: keeper };
        let log = std::fs::read_to_string(cluster.dir.join("log")).unwrap_or_default();
        assert!(cluster.is_ready(), "PostgreSQL does not start, {}: {log}", tried.trim());
        cluster
    }

    /// Where its socket is.
    pub fn folder(&self) -> &Path {
        &self.dir
    }

    fn is_ready(&self) -> bool {
        let mut ready = command(&self.bin.join("pg_isready"));
        ready.arg("-q").arg("-h").arg(&self.dir).status().unwrap().success()
    }

    fn options(&self, database: &str) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass();
        options.socket(&self.dir).username("kya").database(database)
    }

    /// Runs a statement in no database in particular.
    pub async fn run(&self, sql: String) {
        let mut db = self.options("postgres").connect().await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    }
}

/// Whether every user may go there.
fn is_open_to_all(path: &Path) -> bool {
    path.ancestors().all(|folder| folder.metadata().unwrap().permissions().mode() & 0o001 != 0)
}

/// Copies the programs, with the files that they need beside their folder: in a Python
/// package these are beside the package.
fn copy(bin: &Path, to: &Path) -> PathBuf {
    let package = bin.ancestors().find(|folder| folder.ends_with("site-packages"));
    let all = package.unwrap_or(bin.parent().unwrap());
    let copy = to.join("programs");
    let copied = Command::new("cp").arg("-r").arg(all).arg(&copy).status();
    assert!(copied.unwrap().success(), "cannot copy {}", all.display());
    // Who runs them removes them.
    let owner = format!("{NOBODY}:{NOBODY}");
    let given = Command::new("chown").args(["-R", &owner]).arg(&copy).status();
    assert!(given.unwrap().success(), "cannot give {} away", copy.display());
    copy.join(bin.strip_prefix(all).unwrap())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir("/").env("LC_ALL", "C");
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

impl Database {
    pub async fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        cluster().run(format!("CREATE DATABASE {name}")).await;
        Self { name }
    }

    pub fn url(&self) -> DatabaseUrl {
        self.url_as("kya").parse().unwrap()
    }

    pub fn url_as(&self, user: &str) -> String {
        self.url_by(user, cluster().folder())
    }

    /// By the socket in this folder.
    pub fn url_by(&self, user: &str, folder: &Path) -> String {
        format!("postgres://{user}@localhost/{}?host={}", self.name, folder.display())
    }

    /// What an intruder, or a bug, could do.
    pub async fn raw(&self) -> PgPool {
        let options = cluster().options(&self.name).application_name("raw");
        PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
    }

    /// One connection past every server.
    pub async fn connect(&self) -> PgConnection {
        cluster().options(&self.name).application_name("raw").connect().await.unwrap()
    }

    /// Waits until nobody is connected. The end of a connection takes a moment.
    pub async fn is_left(&self) {
        let mut db = cluster().options("postgres").connect().await.unwrap();
        let began = Instant::now();
        loop {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1";
            let count: i64 =
                sqlx::query_scalar(count).bind(&self.name).fetch_one(&mut db).await.unwrap();
            if count == 0 {
                break;
            }
            assert!(began.elapsed() < PATIENCE, "{count} connections stay");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        db.close().await.unwrap();
    }

    /// Copies what is stored now. Nobody uses the database.
    pub async fn back_up(&self) {
        let name = &self.name;
        self.is_left().await;
        cluster().run(format!("CREATE DATABASE {name}_copy TEMPLATE {name}")).await;
    }

    /// Puts the copy in its place, as a database with the same name.
    pub async fn put_back(&self) {
        let name = &self.name;
        self.is_left().await;
        cluster().run(format!("DROP DATABASE {name}")).await;
        cluster().run(format!("CREATE DATABASE {name} TEMPLATE {name}_copy")).await;
    }

    /// A dump as `pg_dump` makes it, in its own format.
    pub fn dump(&self) -> Vec<u8> {
        let mut dump = command(&cluster().bin.join("pg_dump"));
        dump.arg("-h").arg(&cluster().dir).args(["-U", "kya", "-Fc", &self.name]);
        let made = dump.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    /// Puts a dump back over what is there, whoever uses it.
    pub fn restore(&self, dump: &[u8]) {
        let mut restore = command(&cluster().bin.join("pg_restore"));
        restore.arg("-h").arg(&cluster().dir);
        restore.args(["-U", "kya", "--clean", "--if-exists", "-d", &self.name]);
        restore.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut restoring = restore.spawn().unwrap();
        std::io::Write::write_all(&mut restoring.stdin.take().unwrap(), dump).unwrap();
        let ended = restoring.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Ends connections of the servers: those that wait for notifications, or all.
    pub async fn end_connections(&self, only_listening: bool) -> u64 {
        let mut db = self.connect().await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()
                     AND (NOT $1 OR query LIKE 'LISTEN%')";
        let ended = sqlx::query(end).bind(only_listening).fetch_all(&mut db).await.unwrap();
        db.close().await.unwrap();
        ended.len() as u64
    }

    /// Connections that wait for notifications.
    pub async fn listening(&self) -> i64 {
        let mut db = self.connect().await;
        let count = "SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        let count = sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap();
        db.close().await.unwrap();
        count
    }
}
