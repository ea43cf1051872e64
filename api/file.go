package api

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"cunzheng/api/wire"
	"cunzheng/evidence"
	"cunzheng/notary"
)

const (
	// metadataHeader carries the metadata of a raw upload: JSON in base64url.
	metadataHeader = "Cunzheng-Metadata"
	// maxMetadata bounds the JSON that describes one deposit, in bytes.
	maxMetadata = 48 << 10
)

// depositForm takes a file as multipart/form-data: first the part "metadata" (JSON), then the part "file", then
// nothing. The file streams through; neither memory nor a temporary file holds it.
func (s *Server) depositForm(c echo.Context) error {
	parameters, err := mediaType(c.Request(), "multipart/form-data")
	if err != nil {
		return err
	}
	if parameters["boundary"] == "" {
		return badForm("Content-Type", "缺少 boundary 参数。", "The boundary parameter is missing.")
	}
	parts := multipart.NewReader(c.Request().Body, parameters["boundary"])
	var metadata wire.FileMetadata
	if err := readMetadataPart(parts, &metadata); err != nil {
		return err
	}
	part, err := nextPart(parts, "file")
	if err != nil {
		return err
	}
	if metadata.Name == "" {
		metadata.Name = rawFileName(part)
	}
	if metadata.MediaType == "" {
		metadata.MediaType = plainMediaType(part.Header.Get("Content-Type"))
	}
	return s.depositFile(c, metadata, &lastPart{part: part, parts: parts})
}

func badForm(field, zh, en string) error {
	return &failure{code: codeMultipart, field: field, zh: zh, en: en}
}

func readMetadataPart(parts *multipart.Reader, metadata *wire.FileMetadata) error {
	part, err := nextPart(parts, "metadata")
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(part, maxMetadata+1))
	if err != nil {
		return bodyError(err)
	}
	if len(data) > maxMetadata {
		return metadataTooLarge()
	}
	return decodeMetadata("metadata", data, metadata)
}

// decodeMetadata decodes what was found in place. An error about the whole names the place.
func decodeMetadata(place string, data []byte, metadata *wire.FileMetadata) error {
	err := decodeJSON(data, metadata)
	if f, ok := errors.AsType[*failure](err); ok && f.field == "" {
		f.field = place
	}
	return err
}

func metadataTooLarge() error {
	return &failure{code: codeMetadataTooLarge, field: "metadata",
		zh: "元数据超过 48 KiB。", en: "The metadata is larger than 48 KiB."}
}

// nextPart returns the next part, which must have the given name. Raw: no transfer encoding is undone, as the bytes
// that are preserved are the bytes that were sent.
func nextPart(parts *multipart.Reader, name string) (*multipart.Part, error) {
	part, err := parts.NextRawPart()
	if err == io.EOF { // bare, see partError
		return nil, badForm(name, "缺少表单部分 "+name+"。", "The part "+name+" is missing.")
	}
	if err != nil {
		return nil, partError(err)
	}
	if part.FormName() != name {
		return nil, badForm(printable(part.FormName()), "表单依次只能有 metadata 与 file 两部分。",
			"The form must have the parts metadata and file, in this order.")
	}
	if err := checkPlain(part.Header.Get("Content-Encoding")); err != nil {
		return nil, err
	}
	return part, checkUntransferred(part)
}

// checkUntransferred refuses a part in a transfer encoding, which RFC 7578 §4.7 has done away with. Its bytes would be
// preserved encoded, and what their sender holds would never fit them.
func checkUntransferred(part *multipart.Part) error {
	switch encoding := strings.ToLower(part.Header.Get("Content-Transfer-Encoding")); encoding {
	case "", "binary", "8bit", "7bit":
		return nil
	}
	return badForm("Content-Transfer-Encoding", "不接受 Content-Transfer-Encoding：请发送未经编码的内容。",
		"No Content-Transfer-Encoding is accepted: send the content as it is.")
}

// partError tells a broken form from a broken connection. A form that is cut off inside a boundary gives a wrapped
// io.EOF, which nobody further down must take for a proper end.
func partError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok || isTimeout(err) || errors.Is(err, io.ErrUnexpectedEOF) {
		return bodyError(err)
	}
	return &failure{code: codeMultipart, zh: "multipart 正文格式有误。", en: "The multipart body is malformed.", err: err}
}

// lastPart reads a part and, at its end, demands that the form ends too. The end is thus seen before the deposit is
// made: a form that is cut off or goes on leaves no trace.
type lastPart struct {
	part  io.Reader
	parts *multipart.Reader
}

func (l *lastPart) Read(b []byte) (int, error) {
	n, err := l.part.Read(b)
	if err == nil {
		return n, nil
	}
	if err != io.EOF {
		return n, partError(err)
	}
	_, err = l.parts.NextRawPart()
	switch {
	case err == io.EOF: // bare, see partError
		return n, io.EOF
	case err != nil:
		return n, partError(err)
	}
	return n, badForm("", "file 之后不能再有其他部分。", "Nothing may follow the part file.")
}

// rawFileName is the file name as sent. Part.FileName would cut folders off; a name with folders must be refused.
func rawFileName(part *multipart.Part) string {
	_, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if err != nil {
		return ""
	}
	return parameters["filename"]
}

// plainMediaType is a media type without its parameters, or empty if it is not one or says nothing.
func plainMediaType(value string) string {
	plain, _, err := mime.ParseMediaType(value)
	if err != nil || plain == "application/octet-stream" {
		return ""
	}
	return plain
}

// depositRaw takes a file as the body itself. The name is in the path, the rest of the metadata in a header.
func (s *Server) depositRaw(c echo.Context) error {
	var metadata wire.FileMetadata
	if err := readMetadataHeader(c.Request().Header, &metadata); err != nil {
		return err
	}
	name, err := pathParameter(c, "name")
	if err != nil {
		return err
	}
	if metadata.Name != "" && metadata.Name != name {
		return &failure{code: codeContradiction, field: "name",
			zh: "路径与元数据中的文件名不同。", en: "The file names in the path and in the metadata differ."}
	}
	metadata.Name = name
	if metadata.MediaType == "" {
		metadata.MediaType = plainMediaType(c.Request().Header.Get("Content-Type"))
	}
	if length := c.Request().ContentLength; length >= 0 {
		if metadata.Size != nil && *metadata.Size != length {
			return &failure{code: codeContradiction, field: "size",
				zh: "Content-Length 与元数据中的大小不同。", en: "Content-Length and the size in the metadata differ."}
		}
		metadata.Size = &length
	}
	// These headers speak of the body as it is sent, so only here, where the body is the file, do they speak of the file.
	expected, err := expectedDigests(c.Request().Header)
	if err != nil {
		return err
	}
	if err := agree("sm3", &metadata.SM3, expected.sm3); err != nil {
		return err
	}
	if err := agree("sha256", &metadata.SHA256, expected.sha256); err != nil {
		return err
	}
	return s.depositFile(c, metadata, c.Request().Body)
}

func readMetadataHeader(h http.Header, metadata *wire.FileMetadata) error {
	if len(h[metadataHeader]) == 0 {
		return nil
	}
	encoded := h.Get(metadataHeader)
	data, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(data) == 0 {
		return &failure{code: codeHeader, field: metadataHeader,
			zh: metadataHeader + " 须为不带填充的 base64url。", en: metadataHeader + " must be base64url without padding."}
	}
	if len(data) > maxMetadata {
		return metadataTooLarge()
	}
	return decodeMetadata(metadataHeader, data, metadata)
}

// depositFile is the common end of both ways in.
func (s *Server) depositFile(c echo.Context, m wire.FileMetadata, content io.Reader) error {
	key, err := idempotencyKey(c.Request().Header)
	if err != nil {
		return err
	}
	release, err := s.uploads.take(c.Request().Context(), requestOf(c).actor.Organisation, s.limits.Wait)
	if err != nil {
		return err
	}
	defer release()
	deposit, err := s.evidence.DepositFile(c.Request().Context(), requestOf(c).actor, notary.FileDeposit{
		Name: m.Name, MediaType: m.MediaType, Case: m.Case, Correlation: m.Correlation,
		Provenance: m.Provenance, Private: m.Private, Related: m.Related, IdempotencyKey: key,
		ExpectSM3: m.SM3, ExpectSHA256: m.SHA256, ExpectSize: m.Size,
	}, &contentReader{content, s.limits.FileBody, s.limits.FileBody})
	if err != nil {
		return err
	}
	return created(c, deposit)
}

// agree merges the digest of the metadata with that of a header.
func agree(field string, given *evidence.Digest, header evidence.Digest) error {
	if header.IsZero() {
		return nil
	}
	if !given.IsZero() && *given != header {
		return &failure{code: codeContradiction, field: field,
			zh: "请求头与元数据中的 " + field + " 不同。", en: "The values of " + field + " in the header and in the metadata differ."}
	}
	*given = header
	return nil
}

// contentReader bounds a file and names the failures of reading it, so that they come out as what they are wherever
// they surface.
type contentReader struct {
	r           io.Reader
	left, limit int64 // bytes
}

func (c *contentReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.left -= int64(n)
	if _, over := errors.AsType[*http.MaxBytesError](err); over || c.left < 0 {
		return n, contentTooLarge(c.limit)
	}
	if err == nil || err == io.EOF {
		return n, err
	}
	if _, ok := errors.AsType[*failure](err); ok {
		return n, err
	}
	return n, bodyError(err)
}

func contentTooLarge(limit int64) error {
	return &failure{code: notary.CodeContentTooLarge, field: "content",
		zh: fmt.Sprintf("文件超过上限 %d 字节。", limit), en: fmt.Sprintf("The file is larger than the limit of %d bytes.", limit)}
}

// created answers a deposit with its receipt. A repetition is answered as the first deposit was, so that a client that
// lost the first answer sees no difference; a header and a member tell.
func created(c echo.Context, d *notary.Deposit) error {
	header := c.Response().Header()
	header.Set("Location", evidencePath+url.PathEscape(d.Number))
	if d.Duplicate {
		header.Set("Idempotent-Replayed", "true")
	}
	return writeJSON(c, http.StatusCreated, "application/json", depositOf(d))
}

// evidencePath is the folder of all evidence.
const evidencePath = "/v1/evidence/"
