// Rows of a result as one Arrow array. DuckDB makes 2,048 at a time; a message for each
// of those costs its reader more than the rows do.
#pragma once
#include "duckdb/common/arrow/arrow_appender.hpp"
#include "duckdb/function/table/arrow/arrow_duck_schema.hpp"
#include "pack.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/main/client_context.hpp"
#include "wire.hpp"
#include <chrono>

namespace hyprstream {

//! Rows that took longer than this are not kept waiting for the next ones.
static constexpr auto HURRY = std::chrono::microseconds(500);
static constexpr idx_t ENOUGH_BYTES = 1 << 20;

static idx_t Fetch(duckdb::QueryResult &result, ClientProperties &properties, void **types, idx_t max_rows, ArrowArray *out, int *ended) {
	unique_ptr<ArrowAppender> appender;
	vector<unique_ptr<Piece>> pieces;
	idx_t rows = 0, bytes = 0;
	while (true) {
		auto began = std::chrono::steady_clock::now();
		auto chunk = result.Fetch();
		if (!chunk || chunk->size() == 0) {
			*ended = 1; // or there is an error, which the result keeps
			break;
		}
		if (auto piece = Unpack(*chunk)) {
			rows += piece->rows;
			bytes += piece->Bytes();
			pieces.push_back(std::move(piece));
		} else {
			if (types) {
				chunk = WireCast(*properties.client_context, *chunk, types, chunk->ColumnCount(), true);
			}
			if (!appender) {
				auto leaving = chunk->GetTypes();
				auto extensions = ArrowTypeExtensionData::GetExtensionTypes(*properties.client_context, leaving);
				appender = make_uniq<ArrowAppender>(std::move(leaving), MinValue<idx_t>(max_rows, 8 * chunk->size()), properties, std::move(extensions));
			}
			rows += chunk->size();
			bytes += ArrowBytes(*chunk);
			appender->Append(*chunk, 0, chunk->size(), chunk->size());
		}
		if (rows >= max_rows || bytes >= ENOUGH_BYTES || std::chrono::steady_clock::now() - began > HURRY) {
			break;
		}
	}
	if (appender) {
		*out = appender->Finalize();
	} else if (rows > 0) {
		Join(pieces, result.types, rows, out);
	}
	return rows;
}
} // namespace hyprstream

extern "C" size_t hs_fetch(void *result, void *options, void **types, size_t max_rows, void *out, int *ended) {
	using namespace hyprstream;
	auto &data = *reinterpret_cast<duckdb::DuckDBResultData *>(reinterpret_cast<duckdb_result *>(result)->internal_data);
	try {
		auto &properties = reinterpret_cast<duckdb::CClientArrowOptionsWrapper *>(options)->properties;
		data.result_set_type = duckdb::CAPIResultSetType::CAPI_RESULT_TYPE_STREAMING;
		return Fetch(*data.result, properties, types, max_rows, reinterpret_cast<ArrowArray *>(out), ended);
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
