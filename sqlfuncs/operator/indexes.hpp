// What indexes there are of vss's kind, whether or not the extension is loaded.
#pragma once
#include "hsop.h"
#include "duckdb.hpp"
#include "duckdb/catalog/catalog.hpp"
#include "duckdb/catalog/catalog_entry/duck_index_entry.hpp"
#include "duckdb/catalog/catalog_entry/duck_table_entry.hpp"
#include "duckdb/catalog/catalog_entry/schema_catalog_entry.hpp"
#include "duckdb/execution/index/unbound_index.hpp"
#include "duckdb/main/capi/capi_internal.hpp"
#include "duckdb/parser/keyword_helper.hpp"
#include "duckdb/storage/data_table.hpp"
#include "duckdb/storage/table/data_table_info.hpp"
#include "duckdb/storage/table/table_index_list.hpp"

namespace hyprstream {
using namespace duckdb;

//! Whether a log had changes of the index's table, which it has not taken in: it is not loaded yet.
static bool HasReplays(DuckTableEntry &table, const string &index) {
	for (auto &i : table.GetStorage().GetDataTableInfo()->GetIndexes().Indexes()) {
		if (i.GetIndexName() == index && !i.IsBound()) {
			return i.Cast<UnboundIndex>().HasBufferedReplays();
		}
	}
	return false;
}

static string HnswIndexes(ClientContext &context) {
	string r;
	for (auto &schema : Catalog::GetSchemas(context, DatabaseManager::GetDefaultDatabase(context))) {
		schema.get().Scan(context, CatalogType::INDEX_ENTRY, [&](CatalogEntry &e) {
			auto &index = e.Cast<IndexCatalogEntry>();
			if (index.index_type != "HNSW") {
				return;
			}
			auto &table = index.ParentCatalog().GetEntry(context, CatalogType::TABLE_ENTRY, index.GetSchemaName(), index.GetTableName());
			auto quoted = [](const string &s) { return KeywordHelper::WriteQuoted(s, '"'); };
			auto name = quoted(index.GetSchemaName()) + "." + quoted(index.name);
			for (auto &field : {name, index.GetTableName(), index.ToSQL(), string(HasReplays(table.Cast<DuckTableEntry>(), index.name) ? "1" : "")}) {
				r += field;
				r += '\0';
			}
		});
	}
	return r;
}
} // namespace hyprstream

extern "C" int hs_hnsw_indexes(void *dbp, char **out, size_t *n, char *err, size_t errlen) {
	try {
		Connection con(*reinterpret_cast<DatabaseWrapper *>(dbp)->database->instance);
		string r;
		con.context->RunFunctionInTransaction([&]() { r = hyprstream::HnswIndexes(*con.context); });
		*n = r.size();
		*out = (char *)malloc(r.size() + 1);
		memcpy(*out, r.data(), r.size());
		return 0;
	} catch (std::exception &e) {
		snprintf(err, errlen, "%s", e.what());
	} catch (...) {
		snprintf(err, errlen, "unknown C++ exception");
	}
	return 1;
}
