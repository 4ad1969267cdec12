package rest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"hyprstream/database"
)

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, srv *httptest.Server, header ...string) map[string]*dto.MetricFamily {
	t.Helper()
	status, head, text := call(t, srv, "GET", "/metrics", "", header...)
	if status != http.StatusOK || !strings.HasPrefix(head.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatal(status, head, text)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return families
}

// only is the value of a metric that has one row, with the label model, "" for none.
func only(t *testing.T, f *dto.MetricFamily, model string) float64 {
	t.Helper()
	if len(f.GetMetric()) != 1 {
		t.Fatalf("%s has %d rows", f.GetName(), len(f.GetMetric()))
	}
	m := f.GetMetric()[0]
	label := ""
	for _, l := range m.GetLabel() {
		label += l.GetName() + "=" + l.GetValue()
	}
	want := ""
	if model != "" {
		want = "model=" + model
	}
	if label != want {
		t.Errorf("%s has labels %q, want %q", f.GetName(), label, want)
	}
	if f.GetType() == dto.MetricType_COUNTER {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

func TestMetrics(t *testing.T) {
	srv := newServer(t, Options{MaxSessions: 1})
	families := scrape(t, srv)
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "hyprstream_cache_budget_bytes", "hyprstream_statements_running"} {
		if families[name] == nil {
			t.Errorf("no %s without a model", name)
		}
	}
	if v := only(t, families["hyprstream_statements_running"], ""); v != 0 {
		t.Errorf("%v statements run; the scrape itself is not one of them", v)
	}
	if families["hyprstream_engine_up"] != nil {
		t.Error("an engine without a model")
	}

	loadTiny(t, srv)
	const ask = `{"sql": "SELECT count(generate('tiny', 'word ' || range, max_tokens := 4, ignore_eos := true, cache := 'persistent')) FROM range(10)"}`
	for range 2 {
		if status, _, text := call(t, srv, "POST", "/v1/sql", ask); status != 200 || !strings.Contains(text, "[[10]") {
			t.Fatal(status, text)
		}
	}
	families = scrape(t, srv)
	for _, s := range sources {
		for _, m := range s.metrics {
			f, model := families[s.prefix+m.name], ""
			if s.label != "" {
				model = "tiny"
			}
			if f == nil || f.GetHelp() != m.help || (f.GetType() == dto.MetricType_COUNTER) != (m.kind == counter) ||
				strings.HasSuffix(m.name, "_total") != (m.kind == counter) {
				t.Errorf("%s%s: %v", s.prefix, m.name, f)
				continue
			}
			only(t, f, model)
		}
	}
	for name, want := range map[string]float64{
		"hyprstream_engine_up": 1, "hyprstream_engine_slots": 4, "hyprstream_engine_busy_slots": 0, "hyprstream_engine_restarts_total": 0,
		"hyprstream_engine_completion_tokens_total": 40,
	} {
		if v := only(t, families[name], "tiny"); v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	for name, want := range map[string]float64{"hyprstream_cache_hits_total": 10, "hyprstream_cache_misses_total": 10} {
		if v := only(t, families[name], ""); v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if only(t, families["hyprstream_engine_prompt_tokens_total"], "tiny") <= 0 || only(t, families["hyprstream_engine_bytes"], "tiny") <= 0 {
		t.Error("no tokens or no memory")
	}
}

// A scrape is answered while every session is taken, and sees what takes it.
func TestMetricsOfABusyServer(t *testing.T) {
	srv := newServer(t, Options{MaxSessions: 1})
	body := `{"sql": "SELECT range FROM range(10000000000)"}` // nobody reads its rows
	resp, err := srv.Client().Post(srv.URL+"/v1/sql", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if v := only(t, scrape(t, srv)["hyprstream_statements_running"], ""); v != 1 {
		t.Errorf("%v statements run, want 1", v)
	}
}

func TestMetricsNeedTheToken(t *testing.T) {
	srv := newServer(t, Options{Token: "secret"})
	if status, _, text := call(t, srv, "GET", "/metrics", ""); status != http.StatusUnauthorized {
		t.Error(status, text)
	}
	if scrape(t, srv, "Authorization", "Bearer secret")["go_goroutines"] == nil {
		t.Error("nothing with the token")
	}
	if status, _, text := call(t, srv, "GET", "/metrics", "", "Authorization", "Bearer secret", "Origin", "http://elsewhere"); status != http.StatusForbidden {
		t.Error(status, text)
	}
}

// A scrape that cannot be answered in full is an error, not a gap.
func TestMetricsFail(t *testing.T) {
	db, err := database.Open(t.Context(), database.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(New(db, Options{}))
	defer srv.Close()
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status, _, text := call(t, srv, "GET", "/metrics", ""); status != http.StatusInternalServerError || !strings.Contains(text, "shutting down") {
		t.Error(status, text)
	}
}
