mod support;
use kya_control_plane::push::Limits;
use support::*;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn measure() {
    let plane = ControlPlane::start().await;
    plane.api.register("payer").await;
    plane.server.shutdown().await;
    let t = std::time::Instant::now();
    database::add_tokens(plane.dir.path(), 1_000_000).await;
    eprintln!("inserted in {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let plane = ControlPlane::start_in(plane.dir, Limits::default()).await;
    eprintln!("started in {:?}", t.elapsed());
    let t = std::time::Instant::now();
    let mut p = plane.proxy("x").await;
    eprintln!("fetched and loaded by test proxy in {:?} {}", t.elapsed(), p.known().tokens.len());
    for _ in 0..3 {
        plane.api.register("y").await;
        let t = std::time::Instant::now();
        let mut q = plane.silent_proxy("z").await;
        q.hear().await.unwrap();
        eprintln!("manifest after a change in {:?}", t.elapsed());
        let t = std::time::Instant::now();
        p.probe([3; 32]).await;
        p.next().await;
        p.next().await;
        eprintln!("probe {:?}", t.elapsed());
    }
    let mut streams = Vec::new();
    let t = std::time::Instant::now();
    for n in 0..200 {
        let mut q = plane.silent_proxy(&format!("z{n}")).await;
        streams.push(tokio::spawn(async move {
            q.hear().await.unwrap();
            q
        }));
    }
    for s in streams {
        s.await.unwrap();
    }
    eprintln!("200 manifests {:?}", t.elapsed());
    let rss = std::fs::read_to_string("/proc/self/status").unwrap();
    eprintln!(
        "{}",
        rss.lines()
            .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"))
            .collect::<Vec<_>>()
            .join(" ")
    );
}
