package client

import (
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"cunzheng/api/wire"
)

// Problem is a refusal of the server. Programs act on its Code.
type Problem struct {
	wire.Problem
	RetryAfter time.Duration // 0: the server said nothing about trying again
}

func (p *Problem) Error() string {
	text := fmt.Sprintf("%s (%s)", p.Detail, p.Code)
	if id, ok := strings.CutPrefix(p.Instance, "urn:cunzheng:request:"); ok {
		text += " [" + id + "]"
	}
	return text
}

// temporary reports whether the same request may succeed soon. A locked account is not unlocked by trying.
func (p *Problem) temporary() bool {
	return p.Code != "ACCOUNT_LOCKED" && (p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable)
}

// tokenIsStale reports whether a new token may help: the server was restarted, its key rotated, or its clock is ahead.
func (p *Problem) tokenIsStale() bool {
	return p.Status == http.StatusUnauthorized && strings.HasPrefix(p.Code, "TOKEN_")
}

// readProblem reads the refusal in response. Something in between (a proxy, a wrong address) may have answered instead
// of the server; then the status has to do.
func readProblem(response *http.Response) error {
	p := &Problem{RetryAfter: retryAfter(response.Header.Get("Retry-After"))}
	mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if mediaType == wire.ProblemType {
		if body, err := readAll(response.Body); err == nil && json.Unmarshal(body, &p.Problem) == nil && p.Code != "" {
			p.Status = response.StatusCode
			return p
		}
	}
	p.Problem = wire.Problem{
		Status: response.StatusCode, Code: "HTTP_" + strconv.Itoa(response.StatusCode), Title: http.StatusText(response.StatusCode),
		DetailZH: "服务器的回答不是本平台的格式：" + response.Status + "。",
		DetailEN: "The answer is not one of this platform: " + response.Status + ".",
	}
	p.Detail = p.DetailEN
	return p
}

func retryAfter(value string) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
