package api

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"
)

// buffers are reused between answers; those that grew large are left to the collector.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

const keptBuffer = 64 << 10

// writeJSON answers with v. It encodes before it writes, so that a failure to encode can still become an error answer.
func writeJSON(c echo.Context, status int, mediaType string, v any) error {
	buffer := buffers.Get().(*bytes.Buffer)
	buffer.Reset()
	defer func() {
		if buffer.Cap() <= keptBuffer {
			buffers.Put(buffer)
		}
	}()
	if err := json.MarshalWrite(buffer, v); err != nil {
		return err
	}
	buffer.WriteByte('\n')
	return writeBytes(c, status, mediaType, buffer.Bytes())
}

func ok(c echo.Context, v any) error { return writeJSON(c, http.StatusOK, "application/json", v) }

func writeBytes(c echo.Context, status int, mediaType string, body []byte) error {
	header := c.Response().Header()
	header.Set("Content-Type", mediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}
