//! Who is let in on the link: one who shows the shared secret, or whose token the cluster vouches
//! for.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// Says whether a token is that of a reporter.
pub trait Vouch: Send + Sync + 'static {
    /// Whether `token` was given to the activator named `reporter`.
    ///
    /// # Errors
    /// [`NotAdmitted`]: it was not, or nobody can tell now.
    fn vouch<'a>(
        &'a self,
        token: &'a str,
        reporter: &'a str,
    ) -> Pin<Box<dyn Future<Output = Result<(), NotAdmitted>> + Send + 'a>>;
}

/// Why an activator is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// The token is none that is known here.
    #[error("wrong token")]
    Token,
    /// The token is somebody else's.
    #[error("the token belongs to {0}")]
    Other(String),
    /// Nobody could say; another try may tell.
    #[error("the token cannot be checked now: {0}")]
    Unchecked(String),
}

/// Who is let in.
#[derive(Clone)]
pub enum Gate {
    /// Whoever shows this secret, under any name.
    Secret(String),
    /// Those vouched for.
    Vouched(Arc<dyn Vouch>),
}

impl Gate {
    pub(super) async fn check(&self, token: &str, reporter: &str) -> Result<(), NotAdmitted> {
        match self {
            Self::Secret(secret) if is_same_secret(token.as_bytes(), secret.as_bytes()) => Ok(()),
            Self::Secret(_) => Err(NotAdmitted::Token),
            Self::Vouched(by) => by.vouch(token, reporter).await,
        }
    }
}

/// Compares without an early exit, so that the time taken does not tell how much of a guess was
/// right; the length is not a secret.
fn is_same_secret(a: &[u8], b: &[u8]) -> bool {
    let mut difference = u8::from(a.len() != b.len());
    for (a, b) in a.iter().zip(b) {
        difference = std::hint::black_box(difference | (a ^ b));
    }
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_whole_secret_opens() {
        let gate = Gate::Secret("secret".into());
        assert_eq!(gate.check("secret", "a").await, Ok(()));
        for wrong in ["secreT", "secre", "secrets", ""] {
            assert_eq!(gate.check(wrong, "a").await, Err(NotAdmitted::Token), "{wrong}");
        }
    }
}
