//! The backend behind every proxy, and the proxies to compare with.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use dormouse_tests::wait;

use crate::PROXY_CORE;

/// The command of the backend: an nginx on `core` that answers from memory, on `$PORT`.
pub(crate) fn backend_script(folder: &Path, core: usize) -> String {
    let body: String = "x".repeat(64 * 1024);
    fs::write(folder.join("64k"), body).expect("the scratch folder is writable");
    let folder = folder.display();
    let configuration = format!(
        "{COMMON}
        pid {folder}/backend.pid;
        http {{
            access_log off;
            sendfile on;
            open_file_cache max=8;
            keepalive_requests 1000000000;
            server {{
                listen 127.0.0.1:$PORT reuseport;
                location = /2 {{ return 200 ok; }}
                location / {{ root {folder}; }}
            }}
        }}"
    );
    format!(
        "echo \"{configuration}\" > {folder}/backend.conf
         exec taskset -c {core} nginx -e {folder}/backend.log -c {folder}/backend.conf"
    )
}

const COMMON: &str = "daemon off; worker_processes 1; events { worker_connections 1024; }
        user root;";

/// nginx as it is set up for this job: one worker, connections upstream kept, no access log.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    master: Child,
}

impl Nginx {
    pub(crate) fn start(folder: &Path, backend: SocketAddr) -> Self {
        let address = free_address();
        let file = folder.join("nginx.conf");
        let log = folder.join("nginx.log");
        let pid = folder.join("nginx.pid");
        let configuration = format!(
            "{COMMON}
            pid {};
            http {{
                access_log off;
                keepalive_requests 1000000000;
                upstream backend {{
                    server {backend};
                    keepalive 256;
                    keepalive_requests 1000000000;
                }}
                server {{
                    listen {address};
                    location / {{
                        proxy_pass http://backend;
                        proxy_http_version 1.1;
                        proxy_set_header Connection \"\";
                        proxy_set_header Host $host;
                        proxy_set_header X-Forwarded-For $remote_addr;
                        proxy_set_header X-Forwarded-Proto $scheme;
                        proxy_set_header X-Forwarded-Host $host;
                    }}
                }}
            }}",
            pid.display()
        );
        fs::write(&file, configuration).expect("the scratch folder is writable");
        let master =
            pinned("nginx").arg("-e").arg(log).arg("-c").arg(file).spawn().expect("nginx starts");
        listens(address);
        Self { address, master }
    }

    /// The process that does the work.
    pub(crate) fn worker(&self) -> u32 {
        let pid = self.master.id();
        wait::until("nginx's worker", || {
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            children.split_whitespace().next()?.parse().ok()
        })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, so that the worker goes with its master.
        let pid = i32::try_from(self.master.id()).expect("a process id fits");
        let pid = nix::unistd::Pid::from_raw(pid);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).ok();
        self.master.wait().ok();
    }
}

/// Go's `httputil.ReverseProxy`.
pub(crate) struct Go {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Go {
    pub(crate) fn start(backend: SocketAddr) -> Self {
        let program = std::env::var_os("GO_PROXY").map(PathBuf::from);
        let program = program.expect("bench/run builds the Go proxy and names it in GO_PROXY");
        let address = free_address();
        let process = pinned(&program.to_string_lossy())
            .args([address.to_string(), format!("http://{backend}")])
            .env("GOMAXPROCS", "1")
            .spawn()
            .expect("the Go proxy starts");
        listens(address);
        Self { address, process }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Go {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &PROXY_CORE.to_string(), program]);
    command
}

fn free_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    probe.local_addr().expect("a bound socket has one")
}

fn listens(address: SocketAddr) {
    wait::until("a rival to listen", || TcpStream::connect(address).ok());
}
