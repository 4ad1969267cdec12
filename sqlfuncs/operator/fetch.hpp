// Rows of a result as one Arrow array. DuckDB makes 2,048 at a time; a message for each
// of those costs its reader more than the rows do.
#pragma once
#include "duckdb/common/arrow/arrow_appender.hpp"
#include "duckdb/function/table/arrow/arrow_duck_schema.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/main/client_context.hpp"
#include <chrono>

namespace hyprstream {

//! What a vector's values take in Arrow, near enough.
static idx_t ArrowBytes(Vector &v, idx_t n) {
	switch (v.GetType().InternalType()) {
	case PhysicalType::VARCHAR: {
		UnifiedVectorFormat f;
		v.ToUnifiedFormat(n, f);
		auto strings = UnifiedVectorFormat::GetData<string_t>(f);
		idx_t bytes = 4 * n;
		for (idx_t i = 0; i < n; i++) {
			auto k = f.sel->get_index(i);
			bytes += f.validity.RowIsValid(k) ? strings[k].GetSize() : 0;
		}
		return bytes;
	}
	case PhysicalType::STRUCT:
	case PhysicalType::LIST:
	case PhysicalType::ARRAY: {
		v.Flatten(n);
		if (v.GetType().InternalType() == PhysicalType::STRUCT) {
			idx_t bytes = 0;
			for (auto &child : StructVector::GetEntries(v)) {
				bytes += ArrowBytes(*child, n);
			}
			return bytes;
		}
		if (v.GetType().InternalType() == PhysicalType::LIST) {
			return 4 * n + ArrowBytes(ListVector::GetEntry(v), ListVector::GetListSize(v));
		}
		return ArrowBytes(ArrayVector::GetEntry(v), n * ArrayType::GetSize(v.GetType()));
	}
	default:
		return n * GetTypeIdSize(v.GetType().InternalType());
	}
}

static idx_t ArrowBytes(DataChunk &chunk) {
	idx_t bytes = 0;
	for (auto &v : chunk.data) {
		bytes += ArrowBytes(v, chunk.size());
	}
	return bytes;
}

//! Rows that took longer than this are not kept waiting for the next ones.
static constexpr auto HURRY = std::chrono::microseconds(500);
static constexpr idx_t ENOUGH_BYTES = 1 << 20;

static idx_t Fetch(duckdb::QueryResult &result, ClientProperties &properties, idx_t max_rows, ArrowArray *out, int *ended) {
	unique_ptr<ArrowAppender> appender;
	idx_t bytes = 0;
	while (true) {
		auto began = std::chrono::steady_clock::now();
		auto chunk = result.Fetch();
		if (!chunk || chunk->size() == 0) {
			*ended = 1; // or there is an error, which the result keeps
			break;
		}
		if (!appender) {
			auto types = chunk->GetTypes();
			auto extensions = ArrowTypeExtensionData::GetExtensionTypes(*properties.client_context, types);
			appender = make_uniq<ArrowAppender>(std::move(types), MinValue<idx_t>(max_rows, 8 * chunk->size()), properties, std::move(extensions));
		}
		bytes += ArrowBytes(*chunk);
		appender->Append(*chunk, 0, chunk->size(), chunk->size());
		if (appender->RowCount() >= max_rows || bytes >= ENOUGH_BYTES || std::chrono::steady_clock::now() - began > HURRY) {
			break;
		}
	}
	if (!appender) {
		return 0;
	}
	auto rows = appender->RowCount();
	*out = appender->Finalize();
	return rows;
}
} // namespace hyprstream

extern "C" size_t hs_fetch(void *result, void *options, size_t max_rows, void *out, int *ended) {
	using namespace hyprstream;
	auto &data = *reinterpret_cast<duckdb::DuckDBResultData *>(reinterpret_cast<duckdb_result *>(result)->internal_data);
	try {
		auto &properties = reinterpret_cast<duckdb::CClientArrowOptionsWrapper *>(options)->properties;
		data.result_set_type = duckdb::CAPIResultSetType::CAPI_RESULT_TYPE_STREAMING;
		return Fetch(*data.result, properties, max_rows, reinterpret_cast<ArrowArray *>(out), ended);
	} catch (std::exception &e) {
		duckdb::ErrorData error(e);
		data.result->SetError(error);
	} catch (...) {
		duckdb::ErrorData error(duckdb::ExceptionType::INTERNAL, "the rows cannot be converted");
		data.result->SetError(error);
	}
	*ended = 1;
	return 0;
}
