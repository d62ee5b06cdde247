//! A thread with a runtime of its own, for a stage that must go on when the common runtime is busy, or does not respond.

use std::io;
use std::panic::AssertUnwindSafe;
use std::thread::Builder;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Pause after a panic.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs a stage on a thread of this name until it is told to stop. A panic is logged, and the stage is started again. The
/// returned future ends with the thread; dropping it tells the thread to stop.
///
/// # Errors
/// The system has no thread or no runtime to give.
pub(super) fn run_apart<S, F>(
    name: &'static str,
    stop: &CancellationToken,
    stage: S,
) -> io::Result<impl Future<Output = ()> + Send + use<S, F>>
where
    S: Fn(CancellationToken) -> F + Send + 'static,
    F: Future<Output = ()>,
{
    let stop = stop.child_token();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ends, ended) = oneshot::channel::<()>();
    let guard = stop.clone().drop_guard();
    Builder::new().name(name.to_owned()).spawn(move || {
        runtime.block_on(async {
            while !stop.is_cancelled() {
                if AssertUnwindSafe(stage(stop.clone())).catch_unwind().await.is_err() {
                    error!("{name} panicked and is started again");
                    stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await;
                }
            }
        });
        // A DNS look-up under way does not delay the end.
        runtime.shutdown_background();
        drop(ends);
    })?;
    Ok(async move {
        let _guard = guard;
        drop(ended.await);
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_stage_that_panicked_is_run_anew() {
        let (stop, runs) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let (started, count) = (Arc::clone(&runs), AtomicUsize::new(0));
        let _thread = run_apart("stage", &stop, move |stop| {
            let is_first = count.fetch_add(1, Ordering::SeqCst) == 0;
            started.add_permits(1);
            async move {
                assert!(!is_first, "on purpose");
                stop.cancelled().await;
            }
        });

        let twice = tokio::time::timeout(Duration::from_mins(1), runs.acquire_many(2)).await;

        assert!(twice.is_ok());
    }

    #[tokio::test]
    async fn it_ends_when_it_is_told_to() {
        let stop = CancellationToken::new();
        let thread = run_apart("stage", &stop, |stop| async move { stop.cancelled().await }).unwrap();

        stop.cancel();

        tokio::time::timeout(Duration::from_mins(1), thread).await.unwrap();
    }

    #[tokio::test]
    async fn dropped_it_is_told_to_end() {
        let (stop, signs) = (CancellationToken::new(), Arc::new(Semaphore::new(0)));
        let gives = Arc::clone(&signs);
        let thread = run_apart("stage", &stop, move |stop| {
            let gives = Arc::clone(&gives);
            async move {
                gives.add_permits(1);
                stop.cancelled().await;
                gives.add_permits(1);
            }
        });
        signs.acquire().await.unwrap().forget();

        drop(thread);

        let ended = tokio::time::timeout(Duration::from_mins(1), signs.acquire()).await;
        assert!(ended.is_ok());
    }
}
