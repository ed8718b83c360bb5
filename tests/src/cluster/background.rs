//! What the harness itself serves or sends in the cluster's network.

use std::future::Future;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::bundle::Namespaces;
use super::control_plane::runtime;

/// A task on a thread of its own inside the cluster's network. It ends with the value.
pub struct Background {
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts the task, and returns with what it says at its start.
    ///
    /// # Panics
    /// If it ends without a word.
    #[must_use]
    pub fn start<T, F>(
        network: Namespaces,
        task: impl FnOnce(Sender<T>) -> F + Send + 'static,
    ) -> (Self, T)
    where
        T: Send + 'static,
        F: Future<Output = ()>,
    {
        let (end, ended) = oneshot::channel();
        let (say, said) = channel();
        let thread = std::thread::spawn(move || {
            network.enter_network();
            runtime().block_on(async {
                tokio::select! {
                    () = task(say) => {}
                    _ = ended => {}
                }
            });
        });
        let background = Self { end: Some(end), thread: Some(thread) };
        (background, said.recv().expect("it says how it starts"))
    }

    /// Whether the task has ended by itself.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a task of the harness failed");
        }
    }
}
