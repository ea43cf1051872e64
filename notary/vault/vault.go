// Package vault keeps originals: encrypted, authenticated, in a local folder or any S3-compatible store.
//
//	v, err := vault.Open(ctx, "file:///var/lib/cunzheng/originals", "/var/lib/cunzheng/intents", keys)
//	object, err := v.Put(ctx, "XM-350200-NOT01-20261123-00000001-7", upload, 10<<30)
//	// … write object.SM3 to the log …
//	err = v.Commit(object.ID)
//
//	r, err := v.Open(ctx, object.ID) // io.ReadCloser of the plaintext, with r.Object
//
// # Object format
//
// Each object has a random data key of 16 bytes, wrapped by the master key with the object's id as additional data, so
// that an object under another id does not open. All integers are big-endian.
//
//	header   "CZVAULT" 0x01 | length n of the wrapped key, 2 bytes | wrapped key, n bytes
//	content  SM4 STREAM (package sm4) of the plaintext, key HKDF-SM3(data key, "cunzheng/vault/v1 content")
//	trailer  sm4.Seal of the 76 bytes: size 8 | CRC-32 (IEEE) 4 | SM3 32 | SHA-256 32,
//	         key HKDF-SM3(data key, "cunzheng/vault/v1 trailer"), additional data: header, then the id; 104 bytes
//
// The facts stand in a trailer because they are known only after the one pass over the bytes, and the header has gone
// out by then. The trailer has a fixed size and is read first when an object is opened, which is what a zip file needs.
// An object is all of it or nothing: header, stream and trailer each fail to open when any byte differs.
//
// # Durability
//
// An object that [Vault.Put] returned survives a crash of the machine. A store that is spoken to over the network
// answers for that itself. For a folder it takes more than the driver (fileblob) does, which renames without flushing:
// Put flushes the file before the rename and the folder after it.
//
// Between Put and [Vault.Commit] the object is no evidence yet. An intent file, written before the first byte, names
// it; after a crash [Vault.Recover] removes each such object that did not get into the log.
package vault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"

	"cunzheng/crypto/sm3"
)

// What a caller can act on. Other errors are faults of the store or the program.
var (
	ErrTooLarge    = errors.New("vault: the content is larger than the limit")
	ErrNotFound    = errors.New("vault: no such object")
	ErrExists      = errors.New("vault: an object with this id exists")
	ErrNoSpace     = errors.New("vault: the store is full")
	ErrUnavailable = errors.New("vault: the store cannot be reached")
	ErrDenied      = errors.New("vault: the store refuses the credentials")
	ErrNoBucket    = errors.New("vault: the bucket or folder does not exist")
	ErrFolderGone  = errors.New("vault: the folder of originals is not the one used before")
	ErrCorrupt     = errors.New("vault: the object is not what was stored under this id")
)

// SourceError wraps an error of the reader given to [Vault.Put]: the upload broke, not the store.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "vault: reading the content: " + e.Err.Error() }

// Unwrap returns the reader's error.
func (e *SourceError) Unwrap() error { return e.Err }

// Wrapper encrypts data keys under a master key. *keystore.Store is one.
type Wrapper interface {
	Wrap(key, additional []byte) ([]byte, error)
	Unwrap(wrapped, additional []byte) ([]byte, error)
}

// Object is what one pass over the bytes found out.
type Object struct {
	ID     string
	Size   int64 // bytes of plaintext
	CRC32  uint32
	SM3    [32]byte
	SHA256 [32]byte
}

// Options are settings with usable zero values.
type Options struct {
	Logger  *slog.Logger // default: discards
	Reserve int64        // bytes that uploads leave free on the disk of a local folder; default 1 GiB
}

// Vault is safe for concurrent use.
type Vault struct {
	bucket  *blob.Bucket
	folder  *folder // nil: not a local folder
	s3      *s3Store
	intents *intents
	wrap    Wrapper
	logger  *slog.Logger
}

// Open opens the store at bucketURL. It does not contact a remote store, so that a node starts while its store is down;
// see [Vault.Check]. A local folder is created if it never had an object, and otherwise ErrFolderGone.
//
// A bucketURL is "file:///folder", or "s3://bucket" with the parameters of gocloud.dev/blob/s3blob: region, endpoint,
// use_path_style=true (or s3ForcePathStyle), profile and so on, and prefix for all names. Credentials come from where all AWS tools look:
// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, the shared files, or the machine's role. They don't belong into the URL.
//
// intentDir is a local folder for the intent files and for the mark that the folder was used; it is created if missing.
func Open(ctx context.Context, bucketURL, intentDir string, wrap Wrapper, o Options) (*Vault, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	v := &Vault{wrap: wrap, logger: o.Logger}
	var err error
	if v.intents, err = openIntents(intentDir); err != nil {
		return nil, err
	}
	// The URL is in none of the errors: people do put credentials there, and in the wrong place.
	u, err := url.Parse(bucketURL)
	if err != nil {
		return nil, errors.New("vault: the bucket URL is not a URL")
	}
	switch u.Scheme {
	case fileblob.Scheme:
		if u.RawQuery != "" || u.User != nil || (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path) {
			return nil, errors.New("vault: bucket URL: want file:// and an absolute path, no parameters")
		}
		if v.folder, err = openFolder(u.Path, filepath.Join(intentDir, usedMark), o.Reserve); err != nil {
			return nil, err
		}
		v.bucket = v.folder.bucket
	case "s3":
		if u.User != nil {
			return nil, errors.New("vault: bucket URL: credentials do not belong into the URL; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		}
		if v.bucket, v.s3, err = openS3(ctx, u); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("vault: bucket URL: want file:// or s3://")
	}
	return v, nil
}

// usedMark is the name of the file that says that there were objects in the local folder.
const usedMark = "originals-used"

// Close releases the store. Streams that are open fail.
func (v *Vault) Close() error { return v.bucket.Close() }

// Check asks the store whether it can be used: nil, ErrUnavailable, ErrDenied, ErrNoBucket, or another error.
func (v *Vault) Check(ctx context.Context) error {
	_, _, err := v.bucket.ListPage(ctx, blob.FirstPageToken, 1, nil)
	if err == nil || errors.Is(err, io.EOF) {
		return nil
	}
	err = classify(err)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNoBucket, err)
	}
	return err
}

// List calls fn with the id of each object in the store, in no particular order.
func (v *Vault) List(ctx context.Context, fn func(id string) error) error {
	objects := v.bucket.List(nil)
	for {
		object, err := objects.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return classify(fmt.Errorf("vault: listing: %w", err))
		}
		if err := fn(path.Base(object.Key)); err != nil {
			return err
		}
	}
}

// ids are used in names of files and objects as they are.
var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)

func checkID(id string) error {
	if !validID.MatchString(id) {
		return fmt.Errorf("vault: invalid id %q", id)
	}
	return nil
}

// keyOf is the name of the object in the store. 256 folders keep each of them small.
func keyOf(id string) string {
	sum := sm3.Sum([]byte(id))
	return fmt.Sprintf("%02x/%s", sum[0], id)
}

// delete removes an object that is no evidence. It is no error if there is none.
func (v *Vault) delete(ctx context.Context, id string) error {
	if err := v.bucket.Delete(ctx, keyOf(id)); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return classify(err)
	}
	return nil
}

// cleanupTimeout bounds the work that goes on after the caller's context ended, so that nothing is left behind.
const cleanupTimeout = 30 * time.Second

func cleanupContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTimeout)
}
