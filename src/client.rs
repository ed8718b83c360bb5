//! Whom `status` and `explain` ask, and how: the admin port of a `dormouse up` on this machine, or
//! that of a cluster's autoscaler, through the API server.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use dormouse_admin::client::Question;
use dormouse_autoscaler::cluster::Calls;
use dormouse_autoscaler::cluster::kubernetes::{ApiServer, Installed};
use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::cli::{AskedArgs, ClusterArgs};
use crate::{flags, instance};

/// A person waits for this answer; a healthy one comes within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the chart and the plain manifests put the autoscaler's Service.
const AUTOSCALER: &str = "dormouse/dormouse-autoscaler";

/// What the admin port answered.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// Whom is asked.
pub(crate) struct Asked {
    runtime: Runtime,
    way: Way,
}

/// How they are reached.
enum Way {
    Address(SocketAddr),
    Cluster(Cluster),
}

/// A cluster and where Dormouse is in it.
pub(crate) struct Cluster {
    pub(crate) api: ApiServer,
    pub(crate) installed: Installed,
}

impl Asked {
    /// The one that was named, by address or as a cluster; else, called as `dormouse`, the only
    /// `dormouse up` running here; else the cluster that `kubectl` would ask. Called as
    /// `kubectl-dormouse` it is always a cluster unless an address is named.
    ///
    /// # Errors
    /// [`UsageError`](crate::cli::UsageError); several run here; there is no way to a cluster.
    pub(crate) fn find(args: &AskedArgs) -> anyhow::Result<Self> {
        let runtime = crate::runtime()?;
        if let Some(typed) = &args.admin {
            let address = flags::check_one("--admin", typed, flags::address)?;
            return Ok(Self { runtime, way: Way::Address(address) });
        }
        let ClusterArgs { kubeconfig, context, autoscaler } = &args.cluster;
        let is_cluster = kubeconfig.is_some() || context.is_some() || autoscaler.is_some();
        if !is_cluster
            && !is_plugin(std::env::args_os().next().as_deref())
            && let Some(address) = instance::admin()?
        {
            return Ok(Self { runtime, way: Way::Address(address) });
        }
        let mut cluster = runtime.block_on(Cluster::connect(&args.cluster));
        if !is_cluster {
            cluster = cluster.context(
                "no `dormouse up` runs here that could be asked, and there is no way to a cluster; \
                 start one, or name its --admin address",
            );
        }
        let cluster = cluster?;
        Ok(Self { runtime, way: Way::Cluster(cluster) })
    }

    /// Asks for a path, and reads what is answered.
    ///
    /// # Errors
    /// Nobody answers in time, or not in HTTP, or not the one who was asked; it is refused; the
    /// answer is none of ours.
    pub(crate) fn read<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.understand(path, &self.get(path)?)
    }

    /// [`Asked::read`] of what not every version has; the default of one that has it not.
    ///
    /// # Errors
    /// The same.
    pub(crate) fn read_if_there<T: DeserializeOwned + Default>(
        &self,
        path: &str,
    ) -> anyhow::Result<T> {
        let answer = self.get(path)?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(T::default()),
            _ => self.understand(path, &answer),
        }
    }

    fn understand<T: DeserializeOwned>(&self, path: &str, answer: &Answer) -> anyhow::Result<T> {
        let Answer { status, body } = answer;
        let place = match &self.way {
            Way::Address(address) => format!("http://{address}"),
            Way::Cluster(Cluster { installed: Installed { namespace, service }, .. }) => {
                format!("{service} in namespace {namespace}")
            }
        };
        let stranger =
            || format!("{place} is no autoscaler of Dormouse, or one of another version");
        if *status == StatusCode::OK {
            return serde_json::from_slice(body).with_context(stranger);
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(_)) => {
                bail!("{place} answered {path} with {status}: {}", String::from_utf8_lossy(body))
            }
            _ => bail!("{}: {path} was answered {status}", stranger()),
        }
    }

    fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.runtime.block_on(async {
            match &self.way {
                Way::Address(address) => get(*address, path).await,
                Way::Cluster(Cluster { api, installed }) => {
                    let Installed { namespace, service } = installed;
                    let answer = api.ask(installed, path).await.with_context(|| {
                        format!("cannot ask {service} in namespace {namespace} for {path}")
                    })?;
                    Ok(Answer { status: StatusCode::from_u16(answer.status)?, body: answer.body })
                }
            }
        })
    }
}

impl Cluster {
    /// The one that the arguments name. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`UsageError`](crate::cli::UsageError), or there is no way to it.
    pub(crate) async fn connect(args: &ClusterArgs) -> anyhow::Result<Self> {
        let typed = args.autoscaler.as_deref().unwrap_or(AUTOSCALER);
        let installed = flags::check_one("--autoscaler", typed, service)?;
        let (kubeconfig, context) = (args.kubeconfig.as_deref(), args.context.as_deref());
        let api = ApiServer::connect(kubeconfig, context, &Calls::default()).await?;
        Ok(Self { api, installed })
    }
}

fn service(typed: &str) -> Result<Installed, String> {
    let is_name = |name: &str| {
        let is = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !name.is_empty() && name.bytes().all(is)
    };
    match typed.split_once('/') {
        Some((namespace, name)) if is_name(namespace) && is_name(name) => {
            Ok(Installed { namespace: namespace.to_owned(), service: name.to_owned() })
        }
        _ => Err("NAMESPACE/NAME of a Service, as in dormouse/dormouse-autoscaler".to_owned()),
    }
}

/// Whether the program was called as a plug-in of kubectl, by that name.
fn is_plugin(called: Option<&std::ffi::OsStr>) -> bool {
    let name = called.and_then(|called| Path::new(called).file_name());
    name.is_some_and(|name| name == "kubectl-dormouse")
}

async fn get(admin: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let answer = dormouse_admin::client::get(admin, path, Question::First, ANSWER_TIMEOUT).await;
    let answer = answer.with_context(|| format!("cannot ask http://{admin}{path}"))?;
    Ok(Answer { status: answer.status, body: answer.body })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ask(admin: SocketAddr, path: &str) -> anyhow::Result<Answer> {
        crate::runtime().unwrap().block_on(get(admin, path))
    }

    #[test]
    fn a_plug_in_is_known_by_its_name() {
        let is = |called: &str| is_plugin(Some(called.as_ref()));
        assert!(is("kubectl-dormouse") && is("/usr/local/bin/kubectl-dormouse"));
        assert!(!is("dormouse") && !is("kubectl-dormouse/dormouse") && !is_plugin(None));
    }

    #[test]
    fn an_autoscaler_is_named_by_namespace_and_service() {
        let named = service("infra/mouse-autoscaler").unwrap();
        assert_eq!(
            (named.namespace.as_str(), named.service.as_str()),
            ("infra", "mouse-autoscaler")
        );
        for bad in ["", "a", "a/", "/b", "a/b/c", "a/b?x", "A/b"] {
            assert!(service(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_closed_port_is_an_error_that_names_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = listener.local_addr().unwrap();
        drop(listener);
        let error = ask(admin, "/livez").unwrap_err();
        assert!(error.to_string().contains(&admin.to_string()), "{error:#}");
    }
}
