"""Training: from a resolved run spec to its result. Imports only torch, numpy and safetensors."""
