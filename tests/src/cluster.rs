//! A real Kubernetes cluster of the test's own: etcd, API server, controllers, scheduler and a
//! node with containerd, in namespaces that end with the test process, however that ends.
//!
//! Tests do not start one: they are given a [`stage::Stage`] by the `suite`, which starts
//! the cluster with the first test that runs and takes it down after the last.
//!
//! Reading order: [`requirements`] (can it run here), [`bundle`] (the namespaces), [`component`] (a
//! program in them: kill, freeze, restart), [`background`] (a task of the harness in them),
//! [`control_plane`], [`names`] (of Services), [`node`], [`image`] (made here, no registry),
//! [`api_proxy`] (an API server that is slow, fails or is away), [`load`] (requests at a rate, each
//! accounted for), [`stage`] (what one test sees), [`installed`] (Dormouse),
//! [`function`], [`suite`].

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub mod requirements;
pub mod bundle;
pub mod component;
pub mod background;
pub mod control_plane;
pub mod names;
pub mod node;
pub mod image;
pub mod api_proxy;
pub mod load;
pub mod stage;
pub mod installed;
pub mod function;
pub mod suite;

use bundle::{Bundle, Namespaces};
use control_plane::ControlPlane;
use image::Image;
use names::NameServer;
use node::{Node, SecondNode};

/// The first node's address, at which the API server and whatever a test starts in the cluster's
/// network is reached from everywhere in the cluster.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// A running cluster of one node.
pub struct Cluster {
    bundle: Bundle,
    /// etcd, the API server and what works beside it.
    pub control_plane: ControlPlane,
    /// The node that is always there.
    pub node: Node,
    _names: NameServer,
    /// What was loaded so far: a node added later gets it too.
    images: Mutex<Vec<Image>>,
    started_in: Duration,
}

impl Cluster {
    /// Starts one; returns when its node is ready. Logs are written to `logs`, a file a component.
    ///
    /// # Panics
    /// If a program is missing or anything is not ready by [`crate::wait::DEADLINE`].
    #[must_use]
    pub fn start(logs: &Path) -> Self {
        let images = vec![image::pause(), image::fixture(), image::dormouse()];
        let started = Instant::now();
        std::fs::remove_dir_all(logs).ok();
        std::fs::create_dir_all(logs).expect("the folder for logs is writable");
        let bundle = Bundle::start(logs);
        let control_plane = ControlPlane::start(&bundle);
        let names = NameServer::start(bundle.namespaces(), control_plane.kubeconfig("admin"));
        let node = Node::start(&bundle, &control_plane, 1, bundle.namespaces(), &images);
        let images = Mutex::new(images);
        let started_in = started.elapsed();
        Self { bundle, control_plane, node, _names: names, images, started_in }
    }

    /// How long the start took, images not counted.
    #[must_use]
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The namespaces of the control plane and the first node.
    #[must_use]
    pub fn namespaces(&self) -> Namespaces {
        self.bundle.namespaces()
    }

    /// The folder of this run: certificates, kubeconfigs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.bundle.folder()
    }

    /// Makes an image known to every node, those added later included.
    ///
    /// # Panics
    /// If containerd refuses it.
    pub fn load(&self, image: &Image) {
        let mut images = self.images();
        if !images.contains(image) {
            self.node.load(image);
            images.push(image.clone());
        }
    }

    /// Adds a second node, which ends with the value.
    ///
    /// # Panics
    /// If it is not ready by [`crate::wait::DEADLINE`].
    #[must_use]
    pub fn second_node(&self) -> SecondNode<'_> {
        SecondNode::start(&self.bundle, &self.control_plane, &self.images())
    }

    fn images(&self) -> MutexGuard<'_, Vec<Image>> {
        // An image that could not be loaded was not added.
        self.images.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
