//! A drill through proxies at fault, each another way, names each with its cause.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use kya_envoy::{
    Artifacts, Changes, Fault, Fleet, FleetOptions, Sidecar, SidecarOptions, Wire, until,
};
use serde_json::{Value, json};

const LIMIT: std::time::Duration = std::time::Duration::from_secs(20);

/// A library that sets the clock of whoever loads it ahead by an hour.
const CLOCK: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int failed = (int)syscall(SYS_clock_gettime, clock, now);
  if (!failed && clock == CLOCK_REALTIME) now->tv_sec += 3600;
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  (void)zone;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return failed;
}

time_t time(time_t *at) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (at) *at = exact.tv_sec;
  return exact.tv_sec;
}
";

fn wrong_clock(dir: &Path) -> Result<PathBuf> {
    let (source, library) = (dir.join("clock.c"), dir.join("clock.so"));
    std::fs::write(&source, CLOCK)?;
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(&source);
    let output = compile.output().context("there is no C compiler")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// A bootstrap whose filter chain has everything but kya.
fn without_filter(yaml: &str) -> Result<String> {
    let (before, rest) = yaml.split_once("          - name: kya\n").context("no filter")?;
    let router = "          - name: envoy.filters.http.router\n";
    let (_, after) = rest.split_once(router).context("no router")?;
    Ok([before, router, after].concat())
}

/// Real Envoys of one worker each, and what is wrong with them by their names.
struct Faulty {
    fleet: Fleet,
    /// The two ways of the one whose link is cut.
    link: [Wire; 2],
}

impl Faulty {
    async fn start(artifacts: &Artifacts) -> Result<Self> {
        let options = FleetOptions { sidecars: 0, ..FleetOptions::default() };
        let mut fleet = Fleet::start(artifacts, &options).await?;
        let named = |name: &str, changes: Changes| -> Result<SidecarOptions> {
            Ok(SidecarOptions { node_id: name.to_owned(), changes, ..fleet.next_sidecar(1)? })
        };
        let all_open =
            r#""unsynced":"allow","stale":"allow","unknown_token":"allow","internal":"allow""#;
        let service = r#""service": "payments","#;
        let open = Changes::default()
            .replace(service, &format!(r#"{service} "fail_modes": {{{all_open}}},"#));
        let clock = wrong_clock(fleet.dir())?.display().to_string();
        let clock =
            Changes { environment: vec![("LD_PRELOAD".into(), clock)], ..Changes::default() };
        let mut cut = named("cut", Changes::default())?;
        let link =
            [Wire::start(cut.control_plane).await?, Wire::start(cut.control_plane_http).await?];
        [cut.control_plane, cut.control_plane_http] = [link[0].address(), link[1].address()];
        let all = [
            named("sound", Changes::default())?,
            named("open", open)?,
            named("frozen", Changes::default())?,
            cut,
            named("fast", clock)?,
            named("bare", Changes::default())?,
        ];
        let mut yamls = Vec::new();
        for options in &all {
            yamls.push(options.yaml(artifacts)?);
        }
        yamls[5] = without_filter(&yamls[5])?;
        let dir = fleet.dir().to_owned();
        let start = |n: usize| Sidecar::start_with(artifacts, &all[n], &yamls[n], &dir);
        let (a, b, c, d, e, bare) =
            tokio::try_join!(start(0), start(1), start(2), start(3), start(4), start(5))?;
        fleet.sidecars = vec![a, b, c, d, e];
        fleet.wait_converged().await?;
        // The control plane never hears of it.
        fleet.sidecars.push(bare);
        Ok(Self { fleet, link })
    }

    fn sidecar(&self, name: &str) -> Result<&Sidecar> {
        let mut sidecars = self.fleet.sidecars.iter();
        sidecars.find(|sidecar| sidecar.node_id() == name).context("no such sidecar")
    }

    /// Nothing passes between the one and the control plane, from now on.
    async fn cut_link(&self) -> Result<()> {
        for way in &self.link {
            way.set(Fault::CutAfter(0));
            way.cut();
        }
        until("the control plane to miss it", LIMIT, async || {
            let nodes = self.fleet.api().nodes().await?;
            Ok(nodes.disconnected.iter().any(|node| node.node_id == "cut").then_some(()))
        })
        .await
    }
}

/// What is said of a party.
fn cause<'a>(result: &'a Value, name: &str) -> &'a str {
    let parties = result["relying_parties"].as_array().map_or(&[][..], Vec::as_slice);
    let party = parties.iter().find(|party| party["name"] == name);
    party.and_then(|party| party["cause"].as_str()).unwrap_or_default()
}

#[tokio::test]
async fn each_proxy_at_fault_is_named_with_the_right_cause() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let faulty = Faulty::start(&artifacts).await?;
    faulty.cut_link().await?;
    faulty.sidecar("frozen")?.pause()?;

    let kya = faulty.fleet.kya(&artifacts)?;
    let probes: Vec<_> = faulty
        .fleet
        .sidecars
        .iter()
        .map(|sidecar| format!("{}={}", sidecar.node_id(), sidecar.url("/healthz")))
        .collect();
    let mut args = vec!["-o", "json", "drill", "run", "--samples", "1", "--rate", "50"];
    args.extend(probes.iter().flat_map(|probe| ["--probe", probe]));
    let ended = kya.end(&args).await?;
    assert_eq!(ended.code, Some(8), "{ended:?}");
    let result = serde_json::from_str::<Value>(&ended.out)?["result"].clone();

    for (name, part) in [
        (
            "bare",
            "it never rejected the canary: a request without any token is allowed there, too: there is no filter on this path",
        ),
        ("open", "it lets through a token that nobody has issued: its fail modes are open"),
        (
            "frozen",
            "the canary was never allowed there: there was no answer: the proxy is frozen or unreachable",
        ),
        (
            "cut",
            "the canary was never allowed there: it is denied with `token_unknown`: its proxy does not know the canary's token: it has not heard from this control plane",
        ),
    ] {
        assert!(cause(&result, name).starts_with(part), "{name}: {result:#}");
    }
    assert!(cause(&result, "cut").contains("Not connected or not armed: "), "{result:#}");
    // It keeps trying, and is there for a moment each time.
    assert!(cause(&result, "cut").contains("cut (not "), "{result:#}");
    let failures = result["failures"].as_array().context("failures")?;
    let clock = failures.iter().filter_map(Value::as_str).find(|it| it.starts_with("proxy "));
    let clock = clock.with_context(|| format!("no clock: {failures:?}"))?;
    // To the second, as far as one can look at two clocks at once.
    let off = ["proxy fast: its clock is 3599 s ahead", "proxy fast: its clock is 3600 s ahead"];
    assert!(off.iter().any(|off| clock.starts_with(off)), "{clock}");
    // Nobody is accused beside them: the one whose clock is off and the sound one reject.
    let unheard = failures.iter().filter_map(Value::as_str).find(|it| it.contains("acknowledged"));
    let unheard = unheard.with_context(|| format!("who did not acknowledge: {failures:?}"))?;
    assert!(unheard.starts_with("1 of 1 stops") && unheard.contains("frozen"), "{unheard}");
    assert!(!unheard.contains("sound") && !unheard.contains("fast"), "{unheard}");
    assert_eq!(failures.len(), 6, "{failures:?}");
    assert_eq!(result["wrong_clocks"], json!(["fast"]));
    assert_eq!(result["never_rejected"], json!(["bare"]));
    assert_eq!(result["never_allowed"], json!(["frozen", "cut"]));
    for name in ["sound", "fast"] {
        assert_eq!(cause(&result, name), "", "{result:#}");
    }

    faulty.sidecar("frozen")?.resume()?;
    faulty.fleet.finish().await
}
