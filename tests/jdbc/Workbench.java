import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.util.Arrays;
import java.util.List;

/** How a workbench runs statements, pages through results, edits and cancels. */
final class Workbench extends Checks {
    static void checks() {
        check("open a table: data", Workbench::openTable);
        check("prepared: unset and null parameters", Workbench::nullParameters);
        check("edit: insert, update, delete by parameters", Workbench::edits);
        check("edit: batch of inserts", Workbench::batch);
        check("edit: transaction by SQL", Workbench::transactionBySql);
        check("run: execute, getResultSet, getUpdateCount", Workbench::execute);
        check("run: fetch size and rows in pages", Workbench::fetchSize);
        check("run: max rows", Workbench::maxRows);
        check("run: two results read in turns", Workbench::interleaved);
        check("run: closing half-read results 200 times", Workbench::closeHalfRead);
        check("run: wide table", Workbench::wide);
        check("run: NULL in every type", Workbench::nulls);
        check("run: values of 5 MB", Workbench::large);
        check("run: Unicode in values and names", Workbench::unicode);
        check("run: an empty result has its columns", Workbench::empty);
        check("cancel a scan from another thread", Workbench::cancelScan);
        check("cancel a generation from another thread", Workbench::cancelGeneration);
        check("a query that takes longer than its timeout", Workbench::queryTimeout);
    }

    private static void openTable(Connection con) throws SQLException {
        makeTable(con);
        run(con, "INSERT INTO jdbc_m (id, name, price) VALUES (1, 'a', 1.5), (2, 'b', NULL)");
        try (Statement st = con.createStatement(ResultSet.TYPE_FORWARD_ONLY, ResultSet.CONCUR_READ_ONLY)) {
            st.setFetchSize(200);
            try (ResultSet rows = st.executeQuery("SELECT t.* FROM hyprstream.main.jdbc_m t ORDER BY t.id LIMIT 200")) {
                ResultSetMetaData md = rows.getMetaData();
                equal(15, md.getColumnCount());
                equal("price", md.getColumnName(3));
                equal(Types.DECIMAL, md.getColumnType(3));
                equal(2, rows(rows));
            }
        }
        equal("2", value(con, "SELECT count(*) FROM (SELECT * FROM jdbc_m)"));
    }

    private static void nullParameters(Connection con) throws SQLException {
        try (PreparedStatement st = con.prepareStatement("SELECT ?::INTEGER IS NULL, ?::VARCHAR IS NULL, ?::DOUBLE IS NULL, ?::TIMESTAMP IS NULL")) {
            st.setNull(1, Types.INTEGER);
            st.setNull(2, Types.VARCHAR);
            st.setNull(3, Types.DOUBLE);
            st.setObject(4, null);
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                for (int i = 1; i <= 4; i++) {
                    equal(true, rows.getBoolean(i));
                }
            }
        }
    }

    private static void edits(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement add = con.prepareStatement("INSERT INTO main.jdbc_m (id, name, price) VALUES (?, ?, ?)");
                PreparedStatement change = con.prepareStatement("UPDATE main.jdbc_m SET name = ? WHERE id = ?");
                PreparedStatement remove = con.prepareStatement("DELETE FROM main.jdbc_m WHERE id = ?")) {
            for (int i = 1; i <= 3; i++) {
                add.setLong(1, i);
                add.setString(2, "name " + i);
                add.setBigDecimal(3, new java.math.BigDecimal("1.250"));
                equal(1, add.executeUpdate());
            }
            change.setString(1, "changed");
            change.setLong(2, 2);
            equal(1, change.executeUpdate());
            remove.setLong(1, 3);
            equal(1, remove.executeUpdate());
            equal(0, remove.executeUpdate());
        }
        equal("[name 1, changed]", value(con, "SELECT list(name ORDER BY id)::VARCHAR FROM jdbc_m"));
        equal("2.500", value(con, "SELECT sum(price) FROM jdbc_m"));
    }

    private static void batch(Connection con) throws SQLException {
        makeTable(con);
        try (PreparedStatement st = con.prepareStatement("INSERT INTO jdbc_m (id, name, ok, ratio, day) VALUES (?, ?, ?, ?, ?)")) {
            for (int round = 0; round < 3; round++) {
                for (int i = 0; i < 500; i++) {
                    st.setLong(1, round * 500 + i);
                    st.setString(2, "naïve " + i);
                    st.setBoolean(3, i % 2 == 0);
                    st.setDouble(4, i / 2.0);
                    st.setDate(5, java.sql.Date.valueOf("2024-02-29"));
                    st.addBatch();
                }
                equal(500, Arrays.stream(st.executeBatch()).sum());
            }
        }
        equal("1500", value(con, "SELECT count(*) FROM jdbc_m"));
        equal("750", value(con, "SELECT count(*) FROM jdbc_m WHERE ok AND day = '2024-02-29' AND ratio = (id % 500) / 2"));
    }

    private static void transactionBySql(Connection con) throws SQLException {
        makeTable(con);
        try (Connection other = connect()) {
            con.setAutoCommit(false);
            run(con, "BEGIN", "INSERT INTO jdbc_m (id) VALUES (1)");
            equal("1 0", value(con, "SELECT count(*) FROM jdbc_m") + " " + value(other, "SELECT count(*) FROM jdbc_m"));
            run(con, "ROLLBACK");
            equal("0", value(con, "SELECT count(*) FROM jdbc_m"));
            run(con, "BEGIN", "INSERT INTO jdbc_m (id) VALUES (2)", "COMMIT");
            equal("1", value(other, "SELECT count(*) FROM jdbc_m"));
            run(con, "BEGIN");
            try {
                run(con, "INSERT INTO jdbc_m (id) VALUES (2)");
                throw new AssertionError("a second row of one key");
            } catch (SQLException e) {
                holds(e.getMessage().contains("Duplicate key"), e.getMessage());
            }
            run(con, "ROLLBACK");
            equal("1", value(con, "SELECT count(*) FROM jdbc_m"));
            con.setAutoCommit(true);
        }
    }

    private static void execute(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            equal(true, st.execute("SELECT 7 AS x"));
            try (ResultSet rows = st.getResultSet()) {
                holds(rows.next() && rows.getInt("x") == 7, "7");
            }
            equal(false, st.execute("CREATE OR REPLACE TABLE jdbc_e (x INTEGER)"));
            equal(false, st.execute("INSERT INTO jdbc_e FROM range(4)"));
            equal(4, st.getUpdateCount());
            equal(false, st.getMoreResults());
            equal(true, st.execute("EXPLAIN SELECT * FROM jdbc_e"));
            holds(rows(st.getResultSet()) > 0, "a plan");
            equal(true, st.execute("SHOW TABLES"));
            holds(names(st.getResultSet(), "name").contains("jdbc_e"), "the table");
            equal(true, st.execute("DESCRIBE jdbc_e"));
            equal(List.of("x"), names(st.getResultSet(), "column_name"));
            st.execute("DROP TABLE jdbc_e");
        }
    }

    private static void fetchSize(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setFetchSize(100);
            try (ResultSet rows = st.executeQuery("SELECT i FROM range(10000) t(i) ORDER BY i")) {
                for (int i = 0; i < 10000; i++) {
                    holds(rows.next(), "row " + i);
                    equal(i, rows.getInt(1));
                }
                holds(!rows.next(), "the end");
            }
        }
    }

    private static void maxRows(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setMaxRows(5);
            equal(5, rows(st.executeQuery("FROM range(100000)")));
            st.setMaxRows(0);
            equal(10, rows(st.executeQuery("FROM range(10)")));
        }
    }

    private static void interleaved(Connection con) throws SQLException {
        try (Statement a = con.createStatement(); Statement b = con.createStatement();
                ResultSet one = a.executeQuery("SELECT i, repeat('x', 500) FROM range(20000) t(i) ORDER BY i");
                ResultSet two = b.executeQuery("SELECT -i, repeat('y', 500) FROM range(20000) t(i) ORDER BY i")) {
            for (int i = 0; i < 20000; i++) {
                holds(one.next() && two.next(), "row " + i);
                equal(0, one.getInt(1) + two.getInt(1));
            }
            holds(!one.next() && !two.next(), "the end of both");
        }
    }

    private static void closeHalfRead(Connection con) throws SQLException {
        for (int i = 0; i < 200; i++) {
            try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT i, repeat('x', 1000) FROM range(1000000000) t(i)")) {
                holds(rows.next() && rows.next(), "two rows");
            }
        }
        equal("1", value(con, "SELECT 1"));
        ends(con, "1000000000");
    }

    /** The server stops the statements with these words soon: it hears of a closed result after the client went on. */
    private static void ends(Connection con, String words) throws SQLException {
        long deadline = System.nanoTime() + 20_000_000_000L;
        String running;
        do {
            running = value(con, "SELECT string_agg(statement, '; ') FROM ai.queries WHERE statement LIKE '%" + words + "%' AND statement NOT LIKE '%ai.queries%'");
            holds(System.nanoTime() < deadline, "still running: " + running);
        } while (running != null);
    }

    private static void wide(Connection con) throws SQLException {
        StringBuilder columns = new StringBuilder();
        for (int i = 0; i < 1000; i++) {
            columns.append(i == 0 ? "" : ", ").append(i % 2 == 0 ? i + " + r AS n" : "'text " + i + "' AS s").append(i);
        }
        run(con, "CREATE OR REPLACE TABLE jdbc_wide AS SELECT " + columns + " FROM range(100) t(r)");
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT * FROM jdbc_wide ORDER BY n0")) {
            equal(1000, rows.getMetaData().getColumnCount());
            for (int r = 0; r < 100; r++) {
                holds(rows.next(), "row " + r);
                for (int i = 0; i < 1000; i++) {
                    equal(i % 2 == 0 ? "" + (i + r) : "text " + i, rows.getString(i + 1));
                }
            }
        }
        equal(1000, names(con.getMetaData().getColumns(null, "main", "jdbc_wide", null), "COLUMN_NAME").size());
        run(con, "DROP TABLE jdbc_wide");
    }

    private static void nulls(Connection con) throws SQLException {
        makeTable(con);
        run(con, "INSERT INTO jdbc_m (id, name) VALUES (1, 'x')");
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT * EXCLUDE (id, name) FROM jdbc_m")) {
            holds(rows.next(), "a row");
            for (int i = 1; i <= rows.getMetaData().getColumnCount(); i++) {
                equal(null, rows.getString(i));
                equal(true, rows.wasNull());
                if (rows.getMetaData().getColumnType(i) != Types.TIMESTAMP_WITH_TIMEZONE) { // see DriverLacks
                    equal(null, rows.getObject(i));
                }
            }
            equal(0, rows.getInt("small"));
            equal(null, rows.getBigDecimal("price"));
            equal(null, rows.getTimestamp("made"));
            equal(null, rows.getBytes("body"));
        }
    }

    private static void large(Connection con) throws SQLException {
        int size = 5_000_000;
        run(con, "CREATE OR REPLACE TABLE jdbc_l (id INTEGER, text VARCHAR, bytes BLOB)");
        String text = "ü".repeat(size / 2);
        byte[] bytes = new byte[size];
        for (int i = 0; i < size; i++) {
            bytes[i] = (byte) (i * 31);
        }
        try (PreparedStatement st = con.prepareStatement("INSERT INTO jdbc_l VALUES (1, ?, ?)")) {
            st.setString(1, text);
            st.setBytes(2, bytes);
            equal(1, st.executeUpdate());
        }
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT text, bytes FROM jdbc_l")) {
            holds(rows.next(), "a row");
            equal(text, rows.getString(1));
            holds(Arrays.equals(bytes, rows.getBytes(2)), "the bytes");
        }
        run(con, "DROP TABLE jdbc_l");
    }

    private static void unicode(Connection con) throws SQLException {
        String text = "naïve наука 数学 🚀 \u0000 \uFFFD e\u0301 \"'\\";
        try (PreparedStatement st = con.prepareStatement("SELECT ?::VARCHAR AS \"Größe 🚀\", length(?::VARCHAR), encode(?::VARCHAR)")) {
            st.setString(1, text);
            st.setString(2, text);
            st.setString(3, "plain");
            try (ResultSet rows = st.executeQuery()) {
                holds(rows.next(), "a row");
                equal("Größe 🚀", rows.getMetaData().getColumnLabel(1));
                equal(text, rows.getString("Größe 🚀"));
                equal(text.codePointCount(0, text.length()), rows.getInt(2));
                equal("plain", new String(rows.getBytes(3), StandardCharsets.UTF_8));
            }
        }
    }

    private static void empty(Connection con) throws SQLException {
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery("SELECT 1 AS a, 'x' AS b WHERE false")) {
            equal(List.of("a", "b"), labels(rows).subList(0, 2)); // the driver has them twice
            equal(Types.INTEGER, rows.getMetaData().getColumnType(1));
            holds(!rows.next(), "no rows");
        }
    }

    /** The driver knows a result from its first row on, so the statement that is cancelled gives one at once. */
    private static void cancelled(Connection con, String sql) throws Exception {
        long start = System.nanoTime();
        try (Statement st = con.createStatement(); ResultSet rows = st.executeQuery(sql)) {
            holds(rows.next(), "a first row");
            Thread user = new Thread(() -> {
                try {
                    st.cancel();
                } catch (SQLException e) {
                    System.out.println("      cancel(): " + e.getMessage());
                }
            });
            user.start();
            int n = 1;
            try {
                while (rows.next()) {
                    n++;
                }
                throw new AssertionError("all " + n + " rows came");
            } catch (SQLException | RuntimeException e) { // the driver lets gRPC's own through
                holds(String.valueOf(e.getMessage()).contains("ancel"), "" + e);
            }
            user.join();
        }
        holds(System.nanoTime() - start < 60_000_000_000L, "cancelled after a minute");
        equal("1", value(con, "SELECT 1"));
    }

    private static void cancelScan(Connection con) throws Exception {
        cancelled(con, "SELECT i, repeat('x', 1000) FROM range(10000000000) t(i)");
    }

    private static void cancelGeneration(Connection con) throws Exception {
        cancelled(con, "SELECT text FROM generate_stream('gemma', 'Once upon a time', max_tokens := 1500, ignore_eos := true)");
        ends(con, "Once upon a time");
    }

    /** The driver stops waiting after the time, and the server computing when the statement is closed. */
    private static void queryTimeout(Connection con) throws SQLException {
        try (Statement st = con.createStatement()) {
            st.setQueryTimeout(1);
            try (ResultSet rows = st.executeQuery("SELECT count(*) FROM range(10000000000000) t(i) WHERE i % 7 = 3")) {
                throw new AssertionError("a row: " + rows.next());
            } catch (SQLException e) {
                holds(String.valueOf(e.getMessage()).contains("timed out"), e.getMessage());
            }
        }
        try (Connection other = connect()) {
            equal("1", value(other, "SELECT 1"));
        }
    }
}
