//! Named tensors in a small safetensors file, read by position and written atomically: adapters and optimiser state.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write as _};
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::FileExt as _;
use safetensors::serialize;
use safetensors::tensor::{Dtype, Metadata, View};
use tch::{Device, Kind, Tensor};

/// Why a file of tensors could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The operating system refused.
    Io(io::Error),
    /// The file is no safetensors file, or ends too early.
    Damaged(String),
    /// A tensor is stored in a type that is not read here.
    Format { tensor: String, dtype: Dtype },
}

/// A file's tensors, on the CPU in the type they are stored in, and its metadata.
pub(crate) struct TensorFile {
    pub(crate) tensors: BTreeMap<String, Tensor>,
    pub(crate) metadata: HashMap<String, String>,
}

/// A file whose header has been read and describes all of it.
pub(crate) struct Opened {
    file: fs::File,
    data_start: u64,
    header: Metadata,
}

/// Opens a file and reads its header: the little there is to know before memory is asked for.
pub(crate) fn open(path: &Path) -> Result<Opened, ReadError> {
    let file = fs::File::open(path).map_err(ReadError::Io)?;
    let length = file.metadata().map_err(ReadError::Io)?.len();
    let ends = |what: &str| ReadError::Damaged(format!("it has {length} bytes and ends in {what}"));
    if length < 8 {
        return Err(ends("its header's length"));
    }
    let mut size = [0; 8];
    file.read_exact_at(&mut size, 0).map_err(ReadError::Io)?;
    let size = u64::from_le_bytes(size);
    if size > length - 8 {
        return Err(ends("its header"));
    }
    let mut header = vec![0; size as usize];
    file.read_exact_at(&mut header, 8).map_err(ReadError::Io)?;
    let header: Metadata = serde_json::from_slice(&header)
        .map_err(|error| ReadError::Damaged(format!("its header does not hold together: {error}")))?;
    let data_start = 8 + size;
    let expected = data_start.saturating_add(header.data_len() as u64);
    if expected != length {
        return Err(ReadError::Damaged(format!("it has {length} bytes, its header describes {expected}")));
    }
    Ok(Opened { file, data_start, header })
}

impl Opened {
    /// The shape of every tensor.
    pub(crate) fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.header.tensors().into_iter().map(|(name, info)| (name, info.shape.clone())).collect()
    }

    /// Reads the tensors.
    pub(crate) fn read(self) -> Result<TensorFile, ReadError> {
        let mut tensors = BTreeMap::new();
        for name in self.header.offset_keys() {
            let Some(info) = self.header.info(&name) else { continue };
            let kind = match info.dtype {
                Dtype::F32 => Kind::Float,
                Dtype::F16 => Kind::Half,
                Dtype::BF16 => Kind::BFloat16,
                dtype => return Err(ReadError::Format { tensor: name, dtype }),
            };
            let (start, end) = info.data_offsets;
            let mut bytes = vec![0; end - start];
            self.file.read_exact_at(&mut bytes, self.data_start + start as u64).map_err(ReadError::Io)?;
            let shape: Vec<i64> = info.shape.iter().map(|&size| size as i64).collect();
            let tensor = Tensor::f_from_data_size(&bytes, &shape, kind)
                .map_err(|error| ReadError::Damaged(format!("tensor `{name}`: {error}")))?;
            tensors.insert(name, tensor);
        }
        Ok(TensorFile { tensors, metadata: self.header.metadata().clone().unwrap_or_default() })
    }
}

/// Reads a file of f32, f16 and bf16 tensors.
pub(crate) fn read(path: &Path) -> Result<TensorFile, ReadError> {
    open(path)?.read()
}

/// A dense CPU tensor, as the writer wants it.
struct Stored {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Stored {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes tensors of f32 or bf16 in place of what stands at `path`, which is either the old file or the whole new one
/// whenever the process ends.
pub(crate) fn write(path: &Path, tensors: &[(String, Tensor)], metadata: HashMap<String, String>) -> io::Result<()> {
    let mut stored = Vec::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let dtype = match tensor.kind() {
            Kind::Float => Dtype::F32,
            Kind::Half => Dtype::F16,
            Kind::BFloat16 => Dtype::BF16,
            kind => return Err(io::Error::other(format!("tensor `{name}` of {kind:?} cannot be stored"))),
        };
        let dense = tensor.detach().to_device(Device::Cpu).contiguous();
        let mut bytes = vec![0; dense.numel() * dense.kind().elt_size_in_bytes()];
        dense.f_copy_data_u8(&mut bytes, dense.numel()).map_err(io::Error::other)?;
        let shape = dense.size().iter().map(|&size| size as usize).collect();
        stored.push((name.as_str(), Stored { dtype, shape, bytes }));
    }
    let views = stored.iter().map(|(name, stored)| (*name, stored));
    let bytes = serialize(views, Some(metadata)).map_err(io::Error::other)?;
    replace(path, &bytes)
}

/// Puts `bytes` in place of what stands at `path`, durably and at once.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // readable for whom the umask lets, as a file that is simply created
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // The rename is durable once its folder is.
    fs::File::open(folder)?.sync_all()
}
