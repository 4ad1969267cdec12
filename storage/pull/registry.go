package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"

	"hyprstream/errs"
)

// Media types of layers that hold a GGUF file: Docker's and Ollama's.
var (
	modelLayers   = []string{"application/vnd.docker.ai.gguf.v3", "application/vnd.ollama.image.model"}
	adapterLayers = []string{"application/vnd.docker.ai.gguf.v3.lora", "application/vnd.ollama.image.adapter"}
)

const maxManifest = 4 << 20 // bytes

// registry reads the manifest and makes the target of its layer.
func (j *job) registry(ctx context.Context, adapter bool) error {
	ref := j.source.ref
	scheme := "https"
	if loopback((&url.URL{Host: ref.Host()}).Hostname()) {
		scheme = "http"
	}
	repo := &remote.Repository{Client: j.login(), Reference: ref, PlainHTTP: scheme == "http", MaxMetadataBytes: maxManifest}
	layer, err := j.layer(ctx, repo, ref.Reference, adapter)
	if err != nil {
		return j.failure(ctx, err)
	}
	if alg := layer.Digest.Algorithm(); layer.Digest.Validate() != nil || alg != "sha256" || layer.Size <= 0 {
		return errs.New(errs.InvalidModelFile, op, "%s names its layer by %s and %d bytes; only sha256 can be checked", j.source, layer.Digest, layer.Size)
	}
	t := &j.target
	t.sha, t.size = layer.Digest.Encoded(), layer.Size
	t.key = "oci " + layer.Digest.String()
	t.url = &url.URL{Scheme: scheme, Host: ref.Host(), Path: "/v2/" + ref.Repository + "/blobs/" + layer.Digest.String()}
	t.home = func(r *http.Request) (*http.Response, error) {
		return repo.Client.Do(r.WithContext(auth.AppendRepositoryScope(r.Context(), ref, auth.ActionPull)))
	}
	return nil
}

// login asks as whom `docker login` stored for the registry, or as nobody.
func (j *job) login() *auth.Client {
	c := &auth.Client{Cache: auth.NewCache(), Client: &http.Client{Transport: j.p.web, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) < maxRedirects && sameOrigin(r.URL, via[0].URL) {
			return nil
		}
		return http.ErrUseLastResponse
	}}}
	if store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{}); err == nil {
		c.Credential = credentials.Credential(store)
	}
	return c
}

// layer finds the layer that holds the file.
func (j *job) layer(ctx context.Context, repo *remote.Repository, reference string, adapter bool) (v1.Descriptor, error) {
	desc, body, err := repo.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return v1.Descriptor{}, err
	}
	defer body.Close()
	j.served = true
	if desc.Size > maxManifest {
		return v1.Descriptor{}, errs.New(errs.InvalidModelFile, op, "the manifest of %s has %d bytes, more than makes sense", j.source, desc.Size)
	}
	text, err := content.ReadAll(body, desc)
	if err != nil {
		return v1.Descriptor{}, err
	}
	var m struct {
		Layers    []v1.Descriptor `json:"layers"`
		Manifests []v1.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return v1.Descriptor{}, errs.New(errs.InvalidModelFile, op, "the manifest of %s cannot be read: %v", j.source, err)
	}
	if len(m.Manifests) == 1 && len(m.Layers) == 0 && reference == repo.Reference.Reference {
		return j.layer(ctx, repo, m.Manifests[0].Digest.String(), adapter)
	}
	return j.pick(m.Layers, adapter)
}

func (j *job) pick(layers []v1.Descriptor, adapter bool) (v1.Descriptor, error) {
	types, what := modelLayers, "model"
	if adapter {
		types, what = adapterLayers, "adapter"
	}
	var found []v1.Descriptor
	var seen []string
	for _, l := range layers {
		seen = append(seen, cmp.Or(l.MediaType, "unknown"))
		other := slices.Contains(modelLayers, l.MediaType) || slices.Contains(adapterLayers, l.MediaType)
		named := strings.HasSuffix(strings.ToLower(l.Annotations[v1.AnnotationTitle]), ".gguf")
		if slices.Contains(types, l.MediaType) || named && !other {
			found = append(found, l)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return v1.Descriptor{}, errs.New(errs.Unsupported, op, "%s holds %d GGUF layers, perhaps parts of a split model; download and join them with `llama-gguf-split --merge`, and give the path", j.source, len(found))
	case slices.ContainsFunc(seen, func(t string) bool { return strings.Contains(t, "safetensors") }):
		return v1.Descriptor{}, errs.New(errs.Unsupported, op, "%s holds safetensors; name a tag that holds GGUF, or download its files and give their directory", j.source)
	case len(seen) == 0:
		return v1.Descriptor{}, errs.New(errs.InvalidModelFile, op, "%s has no layers: it is an index of several images or empty, and no %s", j.source, what)
	}
	return v1.Descriptor{}, errs.New(errs.InvalidModelFile, op, "%s holds no %s in GGUF form; its layers are %s", j.source, what, strings.Join(seen, ", "))
}
