//! The roots that calls ask about, and their unsaved buffers.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, Weak};

use serde_json::Value;

use crate::args::Args;
use crate::calls::Calls;
use crate::failure::{Failure, Outcome};
use crate::index::View;
use crate::index::store::Store;
use crate::memory;
use crate::rpc::locked;
use crate::session::{Session, relative};
use crate::text::Text;

/// Views of more roots than this are dropped, the one used longest ago first.
const MAX_VIEWS: usize = 8;

/// Unsaved buffers by relative path; `None` stands for a file that is to count as deleted.
pub type Buffers = BTreeMap<String, Option<Arc<Text>>>;

/// Every root that this process has been asked about, and their unsaved buffers.
pub struct Workspaces {
    default_root: PathBuf,
    watching: bool,
    store: Arc<Store>,
    /// The one used last comes first.
    views: Mutex<Vec<Arc<View>>>,
    overlays: Mutex<HashMap<PathBuf, Buffers>>,
    unsettled: Sender<Weak<View>>,
    pub calls: Arc<Calls>,
    evicting: Mutex<()>,
}

impl Workspaces {
    pub fn new(default_root: PathBuf, memory_bytes: usize, watching: bool) -> Self {
        let (unsettled, views) = channel();
        let calls = Arc::<Calls>::default();
        let running = Arc::clone(&calls);
        // Without the thread, searches look at every text: slower, with the same results.
        let _ = std::thread::Builder::new()
            .name("settling".into())
            .spawn(move || settle(&views, &running));
        Self {
            default_root,
            watching,
            store: Arc::new(Store::new(memory_bytes)),
            views: Mutex::default(),
            overlays: Mutex::default(),
            unsettled,
            calls,
            evicting: Mutex::default(),
        }
    }

    fn root(&self, root: Option<&str>) -> Outcome<PathBuf> {
        let root = root.map_or_else(|| self.default_root.clone(), PathBuf::from);
        if !root.is_absolute() {
            return Err(Failure::rejected(format!(
                "root {} is not an absolute path",
                root.display()
            )));
        }
        root.canonicalize()
            .and_then(|real| std::fs::read_dir(&real).map(|_| real))
            .map_err(|error| {
                Failure::rejected(format!(
                    "root {} is not a folder that can be read: {error}",
                    root.display()
                ))
            })
    }

    /// Puts an unsaved buffer over a file for all later calls, or takes it away.
    pub fn set_overlay(&self, root: Option<&str>, path: &str, text: Option<String>) -> Outcome<()> {
        let root = self.root(root)?;
        let path = relative(&root, path)?;
        let mut overlays = locked(&self.overlays);
        let buffers = overlays.entry(root).or_default();
        match text {
            Some(text) => buffers.insert(path, Some(Arc::new(Text::from_buffer(text)))),
            None => buffers.remove(&path),
        };
        Ok(())
    }

    /// Opens the root that a call names, with the call's own buffers over the sticky ones.
    pub fn open(&self, args: &mut Args) -> Outcome<Session<'_>> {
        let root = self.root(args.text("root")?.as_deref())?;
        let mut buffers = locked(&self.overlays)
            .get(&root)
            .cloned()
            .unwrap_or_default();
        for document in args.list("documents")?.unwrap_or_default() {
            let (path, text) = document_parts(args, document)?;
            let text = text.map(|text| Arc::new(Text::from_buffer(text)));
            buffers.insert(relative(&root, &path)?, text);
        }
        self.store.tick();
        let view = self.view(root);
        view.refresh();
        if self.store.trees_were_full() {
            for file in view.all_files() {
                file.drop_old_tree();
            }
        }
        Ok(Session::new(self, view, buffers))
    }

    fn view(&self, root: PathBuf) -> Arc<View> {
        let mut views = locked(&self.views);
        match views.iter().position(|view| view.root == root) {
            Some(at) => views[..=at].rotate_right(1),
            None => {
                let store = Arc::clone(&self.store);
                views.insert(0, Arc::new(View::new(root, store, self.watching)));
                views.truncate(MAX_VIEWS);
            }
        }
        Arc::clone(&views[0])
    }

    /// What is kept in memory on purpose: the files known, as far as they are cached, and the
    /// unsaved buffers.
    pub fn held_bytes(&self) -> usize {
        let overlays = locked(&self.overlays);
        let buffers = overlays.values().flat_map(BTreeMap::values).flatten();
        self.store.held_bytes() + buffers.map(|text| text.bytes.len()).sum::<usize>()
    }

    /// Texts of a view were read or parsed.
    pub fn loaded(&self, view: &Arc<View>) {
        let _ = self.unsettled.send(Arc::downgrade(view));
    }

    /// Makes room, if the files in memory take more than their bound.
    pub fn evict(&self) {
        if !self.store.is_over() {
            return;
        }
        if let Ok(_alone) = self.evicting.try_lock() {
            let views = locked(&self.views).clone();
            let files = views.iter().flat_map(|view| view.all_files()).collect();
            self.store.evict(files);
        }
    }
}

/// Keeps and signs texts in the background, after the calls that read them have been answered.
fn settle(views: &Receiver<Weak<View>>, calls: &Calls) {
    while let Ok(view) = views.recv() {
        let known = view.upgrade().map(|v| (v.root.clone(), v.all_files()));
        let (root, files) = known.unwrap_or_default();
        for file in files {
            calls.give_way();
            if view.strong_count() == 0 {
                break;
            }
            file.settle(&root);
        }
        // What loading and parsing took besides what is kept.
        memory::trim();
    }
}

fn document_parts(args: &Args, document: Value) -> Outcome<(String, Option<String>)> {
    const EXPECTED: &str = "a list of {\"path\": …, \"text\": … or null}";
    let Value::Object(mut fields) = document else {
        return Err(args.wrong("documents", EXPECTED, &document));
    };
    let path = match fields.remove("path") {
        Some(Value::String(path)) => path,
        other => return Err(args.wrong("documents", EXPECTED, &other.unwrap_or_default())),
    };
    match fields.remove("text") {
        Some(Value::String(text)) => Ok((path, Some(text))),
        None | Some(Value::Null) => Ok((path, None)),
        Some(other) => Err(args.wrong("documents", EXPECTED, &other)),
    }
}
